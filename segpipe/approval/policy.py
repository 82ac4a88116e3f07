"""Policy: whether a segmenter may be used now, and the sentence that says why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from segpipe.approval.chain.verification import Verified
from segpipe.approval.people import Roster
from segpipe.approval.protocol import (
    PolicyParams,
    Protocol,
)
from segpipe.approval.records import (
    Decision,
    Emergency,
    Reading,
    Record,
)

SHOWN = 12  # characters of a digest
CASES = {"worst", "random"}  # no repeats, and no masks that are bad on purpose
# Accounts that many people share, and so say nothing of who it was.
SHARED = {"root", "nobody", "ubuntu", "user", "admin"}


@dataclass(frozen=True)
class Approval:
    """Whether a segmenter may be used now.

    Attributes:
        digest: Digest of the segmenter.
        approved: Whether it may.
        why: The sentence that says why, or why not.
        records: Numbers of the decisions, or of the emergency record, that it rests on.
        until: When it ends; none: never.
        emergency: Whether it rests on an emergency record.
    """

    digest: str
    approved: bool
    why: str
    records: tuple[int, ...] = ()
    until: datetime | None = None
    emergency: bool = False


def judge(
    digest: str,
    chain: Verified,
    protocol: Protocol,
    now: datetime,
    *,
    trainers: Iterable[str] = (),
) -> Approval:
    """Whether the segmenter with a digest is approved, by a chain that is whole."""
    emergency = _emergency_of(digest, chain.records, now)
    if emergency is not None:
        return emergency
    decisions = [
        (record, record.content)
        for record in chain.records
        if isinstance(record.content, Decision)
        and record.content.subject.segmenter == digest
        and record.role in protocol.policy.approvals
    ]
    if not decisions:
        return _refused(digest, _describe_lack(digest, chain.records))
    record, last = decisions[-1]
    if last.decision != "approve":
        done = {"reject": "rejected", "withdraw": "withdrew its approval of"}
        words = (
            f"{record.printed_name} {done[last.decision]} it in record "
            f"{record.number}, {_day(record.time)}: {last.reason}"
        )
        return _refused(digest, words)
    ended = [n for n, (_, one) in enumerate(decisions) if one.decision != "approve"]
    standing = decisions[ended[-1] + 1 if ended else 0 :]
    return _judge_approvals(digest, standing, chain, protocol, now, set(trainers))


def _judge_approvals(
    digest: str,
    decisions: list[tuple[Record, Decision]],
    chain: Verified,
    protocol: Protocol,
    now: datetime,
    trainers: set[str],
) -> Approval:
    """Count the approvals after the last rejection or withdrawal."""
    policy, faults = protocol.policy, []
    right: dict[str, tuple[Record, Decision]] = {}
    for record, decision in decisions:
        fault = _fault_of_time(record, decision, now) or _fault_of_reviewers(
            record, decision, chain, policy, trainers
        )
        fault = fault or _fault_of_cases(record, decision, chain, protocol)
        if fault is None:
            right[record.signer] = (record, decision)  # the last of each person
        else:
            faults.append(fault)
    counts = Counter(record.role for record, _ in right.values())
    for role, needed in policy.approvals.items():
        if counts[role] < needed:
            words = f"it has {counts[role]} of {needed} approvals as {role} that count"
            return _refused(digest, "; ".join([words, *faults]))
    ends = [one.expires for _, one in right.values() if one.expires is not None]
    by = ", ".join(
        f"{record.printed_name} as {record.role} in record {record.number}"
        for record, _ in right.values()
    )
    return Approval(
        digest,
        approved=True,
        why=f"approved by {by}",
        records=tuple(record.number for record, _ in right.values()),
        until=min(ends, default=None),
    )


def _fault_of_time(record: Record, decision: Decision, now: datetime) -> str | None:
    if decision.expires is not None and decision.expires <= now:
        return (
            f"the approval of record {record.number} by {record.printed_name} expired "
            f"on {_day(decision.expires)}: review it again"
        )
    return None


def _fault_of_reviewers(
    record: Record,
    decision: Decision,
    chain: Verified,
    policy: PolicyParams,
    trainers: set[str],
) -> str | None:
    """Why the people of a decision may not have made it."""
    if not policy.reviewer_is_not_trainer:
        return None
    by_number = {one.number: one for one in chain.records}
    signers = [record, *(by_number[n] for n in decision.readings if n in by_number)]
    named = trainers | set(decision.subject.trainers)
    for one in signers:
        if is_trainer(one.key, named, chain.roster):
            return (
                f"record {one.number} is signed by {one.printed_name}, who trained it "
                f"({', '.join(sorted(named))})"
            )
    if not known_trainers(named) and policy.unknown_trainer_is_refused:
        return (
            "nobody knows who trained it, and policy.unknown_trainer_is_refused asks "
            "for that: register it anew, with --trained-by"
        )
    return None


def is_trainer(key: str, trainers: Iterable[str], roster: Roster) -> bool:
    """Whether the person with a key is one of the trainers, by any known name."""
    person = roster.keys.get(key)
    return person is not None and person.is_among(trainers)


def known_trainers(trainers: Iterable[str]) -> set[str]:
    """The trainers without accounts that many people share."""
    return {one for one in trainers if one.casefold() not in SHARED}


def _fault_of_cases(
    record: Record, decision: Decision, chain: Verified, protocol: Protocol
) -> str | None:
    """Why the readings that a decision rests on are too few."""
    needed = protocol.policy.cases
    if not needed:
        return None
    by_number = {one.number: one for one in chain.records}
    readers: dict[str, set[str]] = {}
    for number in decision.readings:
        one = by_number.get(number)
        content = one.content if one is not None else None
        if one is None or not isinstance(content, Reading):
            continue  # who adjudicates is no reader
        own = content.subject.segmenter == decision.subject.segmenter
        if own and content.stratum in CASES:
            readers.setdefault(content.case, set()).add(one.signer)
    per_case = protocol.readers.per_case
    full = sum(len(names) >= per_case for names in readers.values())
    if full < needed:
        return (
            f"the approval of record {record.number} rests on {full} cases with "
            f"{per_case} readers each, fewer than the {needed} of policy.cases"
        )
    return None


def _emergency_of(
    digest: str, records: tuple[Record, ...], now: datetime
) -> Approval | None:
    """The emergency that stands now; a later rejection or withdrawal ends it."""
    found = None
    for record in records:
        content = record.content
        if isinstance(content, Emergency) and content.subject.segmenter == digest:
            found = record, content
        elif (
            isinstance(content, Decision)
            and content.subject.segmenter == digest
            and content.decision != "approve"
        ):
            found = None
    if found is None or found[1].expires <= now:
        return None
    record, content = found
    words = (
        f"emergency use, signed by {record.printed_name} in record {record.number} "
        f"until {content.expires:%Y-%m-%d %H:%M} UTC: {content.reason}"
    )
    return Approval(
        digest,
        approved=True,
        why=words,
        records=(record.number,),
        until=content.expires,
        emergency=True,
    )


def _refused(digest: str, why: str) -> Approval:
    return Approval(digest, approved=False, why=why)


def _describe_lack(digest: str, records: tuple[Record, ...]) -> str:
    """That nobody decided, and what was decided about others."""
    others = {
        one.content.subject.segmenter[:SHOWN]: one.content.subject
        for one in records
        if isinstance(one.content, Decision) and one.content.decision == "approve"
    }
    about = ", ".join(
        f"{short} ({one.name} {one.version})" for short, one in others.items()
    )
    return f"no record decides about the segmenter {digest[:SHOWN]}; " + (
        f"approvals are of {about}" if about else "there is no approval at all"
    )


def faults_of_gates(
    metrics: Mapping[str, float], gates: Mapping[str, float]
) -> list[str]:
    """The figures of the test set that lie below the policy's gates."""
    return [
        f"{figure} is {metrics.get(figure, float('nan')):.4g}, below the {least:g} of "
        "policy.gates"
        for figure, least in gates.items()
        if not metrics.get(figure, float("-inf")) >= least
    ]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"
