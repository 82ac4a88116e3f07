"""fulfil: promote a version because a signed decision asks for it, and for no other."""

from dataclasses import dataclass

from segpipe.approval.champions import champions
from segpipe.approval.records import Decision, Record
from segpipe.approval.use import Court, open_court
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import Case, find_case
from segpipe.registry.promotion import promote

SHOWN = 12  # characters of a digest


@dataclass(frozen=True)
class Fulfilled:
    """What became of a decision.

    Attributes:
        promoted: Whether its version is the champion now.
        words: The sentence that says so, or what is left to do.
    """

    promoted: bool
    words: str


def fulfil(
    name: str, version: str, digest: str, number: int, paths: Paths
) -> Fulfilled:
    """Make a version the champion if a decision with ``promote`` approves it.

    Nothing but the signed records is believed. A second call changes nothing.

    Args:
        name: Name of the registered model.
        version: Number of the version.
        digest: Digest of the segmenter that was approved.
        number: Number of the record of the decision.
        paths: The project's folders.

    Raises:
        DataError: If the record is no approval of this segmenter, the approval is not
            complete or has ended, another version was made the champion since, or as
            ``promote`` does.
    """
    case = find_case(name, version, paths)
    court = open_court(paths.root, case.anchors, git=True)
    record, decision = _find_approval(case, digest, number, court)
    approval = court.judge(case.subject)
    if not approval.approved:
        raise DataError(
            f"{case.uri}: expected an approved segmenter, found that {approval.why}; "
            "`segpipe review decide` signs a decision"
        )
    by = f"{record.printed_name} in record {number}"
    if not decision.promote:
        return Fulfilled(
            promoted=False,
            words=f"{by} approves {name} {version} and does not ask to promote it; "
            f"`segpipe promote {version} --name {name} --as NAME` does that",
        )
    if not court.is_champion(case.subject):
        last = champions(court.chain, name, court.protocol)[-1:]
        where = "".join(
            f", which {one.by} chose in record {one.record}" for one in last
        )
        raise DataError(
            f"{case.uri}: expected the version that the records make the champion, "
            f"found version {last[0].subject.version if last else 'none'}{where}; "
            f"`segpipe promote {version} --name {name} --as NAME` signs the change"
        )
    promote(name, version, f"{by}: {decision.reason}", paths)
    return Fulfilled(
        promoted=True,
        words=f"{name} {version} is the champion, approved and promoted by {by}: "
        f"{decision.reason}",
    )


def _find_approval(
    case: Case, digest: str, number: int, court: Court
) -> tuple[Record, Decision]:
    """The record of the approval of a version."""
    about = case.subject
    record = next((one for one in court.chain.records if one.number == number), None)
    content = record.content if record is not None else None
    found = "no such record"
    if isinstance(content, Decision):
        other = content.subject
        found = (
            f"the decision {content.decision} on {other.name} {other.version}, the "
            f"segmenter {other.segmenter[:SHOWN]}"
        )
    elif content is not None:
        found = f"a record of the kind {content.kind}"
    if (
        record is None
        or not isinstance(content, Decision)
        or content.decision != "approve"
        or (content.subject.name, content.subject.version)
        != (about.name, about.version)
        or not content.subject.segmenter == about.segmenter == digest
    ):
        raise DataError(
            f"record {number}: expected the approval of {about.name} {about.version}, "
            f"the segmenter {about.segmenter[:SHOWN]}, as the event says of "
            f"{digest[:SHOWN]}, found {found}; `segpipe review show {number}` shows it"
        )
    return record, content
