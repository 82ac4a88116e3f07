"""history: who was the champion when, by whom and why.

Signed records say it where there are some. Before the first one, and without any, there
are only MLflow's tags, which keep the last promotion of each version and which anybody
with write access can change; each line says which of the two it is from.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from segpipe.approval.chain.verification import verify
from segpipe.approval.champions import Reign, champions
from segpipe.approval.protocol import read_protocol, reviews_root
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.project.tables import column_lines
from segpipe.registry.store import SEGMENTER
from segpipe.registry.versions import CHAMPION, Version, list_versions

ABSENT = "-"
SHOWN = 8  # characters of a digest


@dataclass(frozen=True)
class Entry:
    """A version that became the champion.

    Attributes:
        since: When.
        version: Its number.
        segmenter: Its digest; "" if the registry does not know it.
        by: Who made it the champion.
        why: The reason.
        source: The record or the tags that say so.
    """

    since: datetime
    version: str
    segmenter: str
    by: str
    why: str
    source: str


def history(name: str, paths: Paths, *, at: str | None = None) -> list[str]:
    """List the champions of a name, or say who was it at a time.

    Args:
        name: Name of the registered model.
        paths: The project's folders.
        at: A day or time, in UTC unless it says otherwise; none for all.

    Raises:
        DataError: If nothing is known of the name, or the time is none.
    """
    moment = _parse_time(at) if at is not None else None
    versions = list_versions(name, paths)
    entries, notes = read_entries(name, versions, paths)
    if not entries:
        raise DataError(
            f"{name}: expected a version that was promoted, found none"
            f"{'; ' + notes[0] if notes else ''}; `segpipe models` lists all names"
        )
    notes += _differences(entries, versions)
    if moment is None:
        return [*column_lines(_rows(entries)), *notes]
    before = [one for one in entries if one.since <= moment]
    when = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    if not before:
        first = f"{entries[0].since:%Y-%m-%d %H:%M:%S} UTC"
        return [f"{when}: no champion is known; the first one began {first}", *notes]
    last = before[-1]
    return [
        f"{when}: version {last.version}, the segmenter {last.segmenter or 'unknown'}",
        f"since {last.since:%Y-%m-%d %H:%M:%S} UTC, by {last.by}: {last.why}",
        f"from {last.source}",
        *notes,
    ]


def read_entries(
    name: str, versions: list[Version], paths: Paths
) -> tuple[list[Entry], list[str]]:
    """The champions in their order, and sentences on what cannot be believed."""
    root, notes = reviews_root(paths.root), []
    protocol, chain = read_protocol(root), verify(root)
    if chain.faults:
        notes.append(f"the signed records are not believed: {chain.faults[0]}")
    signed: list[Entry] = []
    if protocol is not None and not chain.faults:
        signed = [_of_record(one) for one in champions(chain, name, protocol)]
    tagged = sorted(_of_tags(versions), key=lambda one: one.since)
    if signed:
        tagged = [one for one in tagged if one.since < signed[0].since]
    return [*tagged, *signed], notes


def _of_record(one: Reign) -> Entry:
    acts = {"rollback": "rollback: ", "emergency": "emergency: "}
    return Entry(
        one.since,
        one.subject.version,
        one.subject.segmenter,
        one.by,
        acts.get(one.act, "") + one.why,
        f"record {one.record}, signed",
    )


def _of_tags(versions: list[Version]) -> list[Entry]:
    found = []
    for one in versions:
        at = one.tags.get("promoted.at")
        if at is None:
            continue
        try:
            since = datetime.fromisoformat(at).astimezone(UTC)
        except ValueError:  # somebody wrote it
            continue
        who, why = one.tags.get("promoted.by", "unknown"), one.tags.get("promoted.why")
        digest = one.tags.get(SEGMENTER, "")
        found.append(Entry(since, one.version, digest, who, why or "", "MLflow's tags"))
    return found


def _differences(entries: list[Entry], versions: list[Version]) -> list[str]:
    """That the alias is not where the last entry says."""
    now = next((one.version for one in versions if CHAMPION in one.aliases), "none")
    if now == entries[-1].version:
        return []
    why = "it was moved without a record"
    if now in {one.version for one in entries}:
        why = "it has not followed yet, or was moved back without a record"
    return [
        f"MLflow's alias champion is on version {now}, against {entries[-1].source}: "
        f"{why}"
    ]


def _rows(entries: list[Entry]) -> list[dict[str, str]]:
    ends = [f"{after.since:%Y-%m-%d %H:%M}" for _, after in pairwise(entries)]
    return [
        {
            "since (UTC)": f"{one.since:%Y-%m-%d %H:%M}",
            "until (UTC)": end,
            "version": one.version,
            "segmenter": one.segmenter[:SHOWN] or ABSENT,
            "by": one.by,
            "why": " ".join(one.why.split()),
            "from": one.source,
        }
        for one, end in zip(entries, [*ends, "now"], strict=True)
    ]


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"--at {text}: expected a day or time such as 2026-11-26 or "
            "2026-11-26T14:30, in UTC, found another text"
        ) from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
