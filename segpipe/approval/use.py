"""Use: the doors at which a registered segmenter needs an approval.

A door asks if the version was registered where review.yaml asked for approvals, or if
the review.yaml of this project does. The first cannot be edited away: it stands in the
version's sealed provenance.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segpipe.approval.chain.anchors import Anchor
from segpipe.approval.chain.verification import Verified, verify
from segpipe.approval.champions import champions
from segpipe.approval.people import Person
from segpipe.approval.policy import Approval, judge, utc_now
from segpipe.approval.protocol import (
    ELSEWHERE,
    Protocol,
    protocol_file,
    read_protocol,
    reviews_root,
)
from segpipe.approval.records import Subject
from segpipe.project.errors import DataError

SHOWN = 12  # characters of a digest


@dataclass(frozen=True)
class Court:
    """A whole chain and the protocol that it is judged by.

    Attributes:
        chain: The records.
        protocol: review.yaml.
    """

    chain: Verified
    protocol: Protocol

    def judge(self, subject: Subject) -> Approval:
        """Whether a version is approved now."""
        return judge(
            subject.segmenter,
            self.chain,
            self.protocol,
            utc_now(),
            trainers=subject.trainers,
        )

    def is_champion(self, subject: Subject) -> bool:
        """Whether the records make a version the champion of its name."""
        reigns = champions(self.chain, subject.name, self.protocol)
        return bool(reigns) and (
            (reigns[-1].subject.version, reigns[-1].subject.segmenter)
            == (subject.version, subject.segmenter)
        )


def fault_of_trainer(
    person: Person, subject: Subject, protocol: Protocol | None
) -> str | None:
    """Why a person may not review a version: who trained it may not, by the policy."""
    if protocol is None or not protocol.policy.reviewer_is_not_trainer:
        return None
    if not person.is_among(subject.trainers):
        return None
    return (
        f"{person.name}: expected a reviewer who did not train it, found that "
        f"{person.printed_name} did ({', '.join(subject.trainers)}); another person "
        "decides"
    )


def is_required(root: Path, *, sealed: bool) -> bool:
    """Whether a version needs an approval.

    Args:
        root: The project whose review.yaml counts.
        sealed: Whether the version was registered as one that needs it.

    Raises:
        DataError: If review.yaml is wrong.
    """
    if sealed:
        return True
    protocol = read_protocol(reviews_root(root))
    return protocol is not None and protocol.policy.require


def open_court(
    root: Path, anchors: Iterable[Anchor] = (), *, git: bool = False
) -> Court:
    """Read and verify the records that count for a project.

    Args:
        root: The project, or the working directory.
        anchors: Digests of records that stand outside of the chain.
        git: Whether all commits of the project are compared, too.

    Raises:
        DataError: If there is no review.yaml, it is wrong, or the chain is broken.
    """
    place = reviews_root(root)
    protocol = read_protocol(place)
    if protocol is None:
        raise DataError(
            f"{protocol_file(place)}: expected the policy by which approvals count, "
            f"found no file; set {ELSEWHERE} to the folder reviews of the project in "
            "which the version was reviewed"
        )
    return Court(verify(place, anchors, git=git).require_whole(), protocol)


def require_approved(
    uri: str, subject: Subject, root: Path, anchors: Iterable[Anchor], *, alias: str
) -> Approval:
    """Refuse a version that may not be used on patients now.

    Args:
        uri: What was asked for, for the error.
        subject: The version that it stands for.
        root: The project, or the working directory.
        anchors: Digests of records that stand outside of the chain.
        alias: The alias by which it was asked for; "" for none. The champion must be
            the one that the records name.

    Raises:
        DataError: If it is not approved, or not the champion.
    """
    court = open_court(root, anchors)
    approval = court.judge(subject)
    if not approval.approved:
        raise DataError(
            f"{uri}: expected an approved segmenter, found that {approval.why}; "
            "`segpipe review decide` signs a decision, `segpipe promote --emergency` "
            "an emergency"
        )
    if alias == "champion" and not court.is_champion(subject):
        raise DataError(describe_usurper(uri, subject, court))
    return approval


def describe_usurper(uri: str, subject: Subject, court: Court) -> str:
    """That the alias champion is not where the records put it."""
    reigns = champions(court.chain, subject.name, court.protocol)
    where, why = "no version", "it was moved without a record"
    mend = "`segpipe promote` signs one and moves it"
    if reigns:
        last = reigns[-1]
        where = f"version {last.subject.version}, by {last.by} in record {last.record}"
    if any(one.subject == subject for one in reigns):
        why = "it has not followed that record yet, or was moved back without one"
        mend = f"`segpipe promote {last.subject.version}` moves it"
    return (
        f"{uri}: expected the champion that the records name, {where}, found the alias "
        f"on version {subject.version}, the segmenter {subject.segmenter[:SHOWN]}: "
        f"{why}; {mend}"
    )


class _Trial:
    """Whether this process only tries a model on a test case, for nobody's care."""

    on = False


@contextmanager
def trial() -> Iterator[None]:
    """Ask for no approval while registering tries a model on a case of the test set."""
    _Trial.on = True
    try:
        yield
    finally:
        _Trial.on = False


def is_trial() -> bool:
    """Whether the block of ``trial`` is running."""
    return _Trial.on
