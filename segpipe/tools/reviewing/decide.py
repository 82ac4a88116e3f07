"""decide: sign a decision on a version, with all that it rests on."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from segpipe.approval.chain.signing import append, expect_person
from segpipe.approval.chain.verification import Verified
from segpipe.approval.policy import utc_now
from segpipe.approval.protocol import Protocol, reviews_root
from segpipe.approval.records import (
    Adjudication,
    Correction,
    Decision,
    Reading,
    Record,
    Subject,
)
from segpipe.approval.use import Court, fault_of_trainer, open_court
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import find_case, require_gates
from segpipe.registry.promotion import review
from segpipe.tools.reviewing.announce import announce

log = logging.getLogger(__name__)
CHANGED = (
    "What the readers say changed since this page was shown: look again. Nothing was "
    "signed."
)
STATUS = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}


@dataclass(frozen=True)
class Verdict:
    """What a person decides, in the person's words.

    Attributes:
        decision: approve, reject or withdraw.
        meaning: What the signature means.
        reason: Why.
        promote: Whether a complete approval makes the version the champion.
    """

    decision: Literal["approve", "reject", "withdraw"]
    meaning: str
    reason: str
    promote: bool = False


def decide(
    name: str,
    version: str,
    verdict: Verdict,
    signer: str,
    password: str,
    paths: Paths,
    *,
    segmenter: str | None = None,
    shown: Sequence[int] | None = None,
    tell: Callable[[str], None] = log.info,
) -> Record:
    """Sign a decision on a version, and repeat it in MLflow's tags for people.

    The decision holds all readings, adjudications and corrections of the version that
    stand in the chain. An approval that is complete by the policy is announced to
    Prefect, where the flow promote waits for it.

    Args:
        name: Name of the registered model.
        version: Number of the version.
        verdict: What is decided.
        signer: Name of the key.
        password: Its password, asked for this signature.
        paths: The project's folders.
        segmenter: Digest of what was reviewed; the version must be that. None: any.
        shown: Numbers of the readings, adjudications and corrections that the signer
            was shown, which must be all there are. None: whichever there are.
        tell: Called with the sentence that says what comes next.

    Raises:
        DataError: If there is no review.yaml or version, the version is another than
            was reviewed, other records were signed than were shown, the signer may not
            decide, a version to promote lies below the policy's gates, or the chain is
            broken.
    """
    for option, text in (("--meaning", verdict.meaning), ("--reason", verdict.reason)):
        if not text.strip():
            raise DataError(
                f"{option}: expected words, found nothing; they stand in the record"
            )
    case = find_case(name, version, paths)
    if segmenter is not None and case.subject.segmenter != segmenter:
        raise DataError(
            f"{case.uri}: expected the segmenter that was reviewed, {segmenter[:12]}, "
            f"found {case.subject.segmenter[:12]}; build a review of this version"
        )
    court = open_court(paths.root, case.anchors, git=True)
    if verdict.decision == "approve":
        person = expect_person(signer, court.chain.roster)
        fault = fault_of_trainer(person, case.subject, court.protocol)
        if fault is not None:
            raise DataError(fault)
        if verdict.promote:  # else the records name a champion whom no door lets in
            require_gates(case, court)
    content = build_decision(case.subject, verdict, court.chain, court.protocol)
    if shown is not None and content.readings != tuple(shown):
        raise DataError(CHANGED)
    root = reviews_root(paths.root)
    record = append(content, signer, password, root)
    after = open_court(paths.root).chain
    assert after.head is not None
    note = f"record {record.number} by {record.printed_name}: {verdict.reason}"
    status = STATUS[verdict.decision]
    approval = Court(after, court.protocol).judge(case.subject)
    waits = verdict.decision == "approve" and not approval.approved
    if waits:
        status = "pending"  # another approval is missing
    review(name, version, status, note, paths, head=after.head.text)
    if waits:
        tell(f"{name} {version} waits: {approval.why}")
    elif verdict.decision == "approve":
        tell(announce(content, record.number, paths))
    return record


def find_seen(segmenter: str, chain: Verified) -> list[Record]:
    """The readings, adjudications and corrections of a segmenter in a chain."""
    return [
        one
        for one in chain.records
        if isinstance(one.content, Reading | Adjudication | Correction)
        and one.content.subject.segmenter == segmenter
    ]


def build_decision(
    subject: Subject, verdict: Verdict, chain: Verified, protocol: Protocol
) -> Decision:
    """A decision, with what the chain holds of the version."""
    seen = find_seen(subject.segmenter, chain)
    shown = [
        one.content for one in seen if isinstance(one.content, Reading | Adjudication)
    ]
    ratings: Counter[str] = Counter()
    for one in shown:
        if isinstance(one, Reading) and one.stratum == "control":
            continue  # its mask was made bad: it is not the candidate's
        for letter, structures in one.ratings.items():
            if one.shown.get(letter) == "candidate":
                ratings.update(str(r.score or "none") for r in structures.values())
    days = protocol.policy.expires_days
    ends = verdict.decision == "approve" and days is not None
    return Decision(
        subject=subject,
        protocol=protocol.digest,
        decision=verdict.decision,
        meaning=verdict.meaning,
        reason=verdict.reason,
        readings=tuple(one.number for one in seen),
        cases=tuple(sorted({one.case for one in shown})),
        images=tuple(sorted({d for one in shown for d in one.images.values()})),
        masks=tuple(sorted({d for one in shown for d in one.masks.values()})),
        ratings=dict(sorted(ratings.items())),
        seconds=sum(one.seconds for one in shown),
        expires=utc_now().replace(microsecond=0) + timedelta(days=days or 0)
        if ends
        else None,
        promote=verdict.promote and verdict.decision == "approve",
    )
