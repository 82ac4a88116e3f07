"""status: where a review stands, for its lead: what is left, or what the readings say.

As long as something is left, no rating is shown: who leads a review may read in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.approval.chain.verification import Verified
from segpipe.approval.protocol import Protocol
from segpipe.approval.records import Decision
from segpipe.approval.use import Court, open_court
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.paths import Paths
from segpipe.project.tables import column_lines
from segpipe.review.accounts.database import Database, address_of, open_database
from segpipe.review.dossier import dossier_folder, read_key, reviews_folder
from segpipe.review.shelf import Shelf, Volume, open_volume
from segpipe.review.work.progress import describe_progress
from segpipe.review.work.readings import read_signed
from segpipe.review.work.sections import Section, build_sections
from segpipe.review.work.summary import Missing, find_missing, summarize

DONE = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}


@dataclass(frozen=True)
class Standing:
    """Where a review stands.

    Attributes:
        missing: What nobody signed yet.
        sections: What may be shown of it.
    """

    missing: Missing
    sections: Sequence[Section]

    @property
    def digest(self) -> str:
        """SHA-256 of what is shown, so that a decision is bound to it."""
        return digest_json(
            [
                [one.title, list(one.sentences), [dict(row) for row in one.rows]]
                for one in self.sections
            ]
        )


def status(words: Sequence[str], paths: Paths) -> list[str]:
    """Describe where reviews stand, as lines.

    Args:
        words: Folder of a dossier, or name and number of a version; empty: a line for
            each dossier of the project.
        paths: The project's folders.

    Raises:
        DataError: If there is no such dossier or no review.yaml, or the chain is
            broken.
    """
    court = open_court(paths.root)
    database = open_database(address_of(paths))
    if not words:
        volumes = Shelf(reviews_folder(paths)).volumes()
        return [
            _line(one, stand(one, court.chain, court.protocol, database))
            for one in volumes
        ] or ["no dossier yet: `segpipe review build VERSION` makes one"]
    volume = _find_volume(words, paths)
    standing = stand(volume, court.chain, court.protocol, database)
    lines = [f"{volume.dossier.name} {volume.dossier.version}, {volume.folder}"]
    for section in standing.sections:
        lines += ["", section.title, *(f"  {one}" for one in section.sentences)]
        if section.rows:
            rows = [
                {name: _printable(cell) for name, cell in row.items()}
                for row in section.rows
            ]
            lines += [f"  {line}" for line in column_lines(rows)]
    return lines


def stand(
    volume: Volume, chain: Verified, protocol: Protocol, database: Database
) -> Standing:
    """Find where a review stands.

    Raises:
        DataError: If the dossier is damaged.
    """
    readings = read_signed(volume, read_key(volume.folder), chain, protocol)
    missing = find_missing(readings)
    sections = [describe_progress(readings, missing, database)]
    if missing.nothing:
        sections = [*build_sections(summarize(readings), readings), *sections]
    if protocol.digest != volume.dossier.protocol:
        words = "review.yaml was changed since the cases were drawn; it counts as it is"
        sections.append(Section("Protocol", [f"{words} now."]))
    return Standing(missing, [*sections, _decisions(volume, chain, protocol)])


def _decisions(volume: Volume, chain: Verified, protocol: Protocol) -> Section:
    """What was decided about the version, and whether it may be used now."""
    subject = volume.dossier.subject
    rows = [
        {
            "record": str(record.number),
            "decision": DONE[record.content.decision],
            "by": f"{record.printed_name} as {record.role}",
            "when (UTC)": f"{record.time:%Y-%m-%d %H:%M}",
            "meaning": record.content.meaning,
            "reason": record.content.reason,
        }
        for record in chain.records
        if isinstance(record.content, Decision)
        and record.content.subject.segmenter == subject.segmenter
    ]
    approval = Court(chain, protocol).judge(subject)
    verb = "is" if approval.approved else "is not"
    return Section("Decisions", [f"It {verb} approved now: {approval.why}."], rows)


def _find_volume(words: Sequence[str], paths: Paths) -> Volume:
    if len(words) > 2:
        raise DataError(
            "review status: expected a folder, or the name and number of a version, "
            f"found {len(words)} words; name one"
        )
    if len(words) == 2:
        return open_volume(dossier_folder(paths, *words))
    return open_volume(Path(words[0]))


def _line(volume: Volume, standing: Standing) -> str:
    left, dossier = standing.missing, volume.dossier
    words = f"{left.readings} readings and {left.adjudications} adjudications missing"
    if left.nothing:
        words = "all is signed"
    return f"{dossier.name} {dossier.version}: {words}, {volume.folder}"


def _printable(text: str) -> str:
    """A person's words without what moves the cursor of a terminal."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
