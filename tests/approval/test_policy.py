"""A segmenter is approved, or a sentence says why it is not."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from segpipe.approval.chain.anchors import Anchor
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import append
from segpipe.approval.policy import Approval, faults_of_gates, judge, utc_now
from segpipe.approval.protocol import protocol_file
from segpipe.approval.use import open_court
from segpipe.project.errors import DataError
from tests.support.reviews import (
    DIGEST,
    OTHER,
    decision,
    digest_of,
    emergency,
    password_of,
    reading,
    signed,
    subject,
    write_people,
    write_policy,
)


def approval_of(
    digest: str,
    root: Path,
    now: datetime,
    *,
    trainers: Sequence[str] = (),
    anchors: Sequence[Anchor] = (),
) -> Approval:
    """As the doors ask: first the records and review.yaml, then the decisions."""
    try:
        court = open_court(root, anchors)
    except DataError as error:
        return Approval(digest, approved=False, why=str(error))
    return judge(digest, court.chain, court.protocol, now, trainers=trainers)


def nothing(root: Path) -> None:
    """Record 10 of the chain approves DIGEST."""


def reject(root: Path) -> None:
    signed(decision(what="reject", reason="leaks"), "max", root)


def withdraw(root: Path) -> None:
    signed(decision(what="withdraw", reason="a recall"), "lea", root)


def approve_again(root: Path) -> None:
    reject(root)
    signed(decision(), "max", root)


def approve_as_a_reader(root: Path) -> None:
    write_policy(root, approvals="{reader: 1}")
    signed(decision(), "rob", root)


def ask_for_two_leads(root: Path) -> None:
    write_policy(root, approvals="{lead: 2}")


def approve_twice_alone(root: Path) -> None:
    ask_for_two_leads(root)
    signed(decision(), "lea", root)


def approve_as_two(root: Path) -> None:
    ask_for_two_leads(root)
    signed(decision(), "max", root)


def approve_in_two_roles_alone(root: Path) -> None:
    write_policy(root, approvals="{lead: 1, reader: 1}")
    password = password_of("lea")
    append(decision(), "lea", password, root, role="reader")


def approve_as_the_trainer(root: Path) -> None:
    reject(root)
    signed(decision(subject(trainers=("LEA",))), "lea", root)


def approve_as_the_trainer_by_mail(root: Path) -> None:
    reject(root)
    signed(decision(subject(trainers=("tom@lab", "build"))), "max", root)


def let_the_trainer_read(root: Path) -> None:
    reject(root)
    about = subject(trainers=("rob",))
    signed(decision(about, readings=(6, 7)), "lea", root)


def allow_the_trainer(root: Path) -> None:
    let_the_trainer_read(root)
    write_policy(root, reviewer_is_not_trainer="false")


def forget_the_trainer(root: Path) -> None:
    reject(root)
    signed(decision(subject(trainers=("root",))), "lea", root)


def allow_an_unknown_trainer(root: Path) -> None:
    forget_the_trainer(root)
    write_policy(root, unknown_trainer_is_refused="false")


def expire(root: Path) -> None:
    reject(root)
    signed(decision(expires=utc_now() - timedelta(seconds=1)), "lea", root)


def ask_for_two_cases(root: Path) -> None:
    write_policy(root, cases="2")


def ask_for_three_cases(root: Path) -> None:
    write_policy(root, cases="3")


def read_no_cases_of_its_own(root: Path) -> None:
    """Repeats and masks that are bad on purpose are no such cases."""
    ask_for_two_cases(root)
    reject(root)
    for case, stratum in (("c8", "repeat"), ("c9", "control")):
        for name in ("rob", "lea"):
            one = reading(case).model_copy(update={"stratum": stratum})
            signed(one, name, root)
    signed(decision(readings=(14, 15, 16, 17)), "lea", root)


def read_another_version(root: Path) -> None:
    ask_for_two_cases(root)
    reject(root)
    for case in ("c1", "c2"):
        for name in ("rob", "lea"):
            signed(reading(case, subject(OTHER)), name, root)
    signed(decision(readings=(14, 15, 16, 17)), "lea", root)


def act_in_an_emergency(root: Path) -> None:
    reject(root)
    signed(emergency(), "ann", root)


def let_the_emergency_pass(root: Path) -> None:
    reject(root)
    signed(emergency(hours=-1), "ann", root)


def withdraw_in_an_emergency(root: Path) -> None:
    act_in_an_emergency(root)
    withdraw(root)


def break_the_chain(root: Path) -> None:
    record_path(root, 3).unlink()


def lose_the_policy(root: Path) -> None:
    protocol_file(root).unlink()


CASES: list[tuple[Callable[[Path], None], bool, str]] = [
    (nothing, True, "approved by Dr Lea as lead in record 10"),
    (reject, False, "Dr Max rejected it in record 13"),
    (withdraw, False, "Dr Lea withdrew its approval of it in record 13"),
    (approve_again, True, "approved by Dr Max as lead in record 14"),
    (approve_as_a_reader, True, "approved by Dr Rob as reader in record 13"),
    (ask_for_two_leads, False, "it has 1 of 2 approvals as lead that count"),
    (approve_twice_alone, False, "it has 1 of 2 approvals as lead that count"),
    (approve_as_two, True, "Dr Lea as lead in record 10, Dr Max as lead in record 13"),
    (approve_in_two_roles_alone, False, "it has 0 of 1 approvals as lead that count"),
    (approve_as_the_trainer, False, "record 14 is signed by Dr Lea, who trained it"),
    (approve_as_the_trainer_by_mail, False, "signed by Dr Max, who trained it (build"),
    (let_the_trainer_read, False, "record 6 is signed by Dr Rob, who trained it (rob)"),
    (allow_the_trainer, True, "approved by Dr Lea as lead in record 14"),
    (forget_the_trainer, False, "nobody knows who trained it"),
    (allow_an_unknown_trainer, True, "approved by Dr Lea as lead in record 14"),
    (expire, False, "the approval of record 14 by Dr Lea expired on 20"),
    (ask_for_two_cases, True, "approved by Dr Lea as lead in record 10"),
    (ask_for_three_cases, False, "rests on 2 cases with 2 readers each, fewer than"),
    (read_another_version, False, "rests on 0 cases with 2 readers each"),
    (read_no_cases_of_its_own, False, "rests on 0 cases with 2 readers each"),
    (act_in_an_emergency, True, "emergency use, signed by Dr Ann in record 14 until"),
    (let_the_emergency_pass, False, ": leaks"),
    (withdraw_in_an_emergency, False, "Dr Lea withdrew its approval of it"),
    (break_the_chain, False, "record 3 is missing before record 4"),
    (
        lose_the_policy,
        False,
        "review.yaml: expected the policy by which approvals count",
    ),
]


@pytest.mark.parametrize(
    ("change", "approved", "words"), CASES, ids=lambda x: getattr(x, "__name__", "")
)
def test_an_approval_is_given_or_the_reason_said(
    root: Path, change: Callable[[Path], None], approved: bool, words: str
) -> None:
    change(root)

    found = approval_of(DIGEST, root, utc_now())

    assert (found.approved, words in found.why) == (approved, True), found.why


def test_an_approval_is_of_one_digest(root: Path) -> None:
    found = approval_of(OTHER, root, utc_now())

    assert not found.approved
    assert f"no record decides about the segmenter {OTHER[:12]}" in found.why
    assert f"approvals are of {DIGEST[:12]} (liver 3)" in found.why


def test_that_nothing_is_approved_yet_is_said(tmp_path: Path) -> None:
    write_people(tmp_path)
    write_policy(tmp_path)

    assert "there is no approval at all" in approval_of(DIGEST, tmp_path, utc_now()).why


def test_an_approval_ends_when_it_says(root: Path) -> None:
    found = approval_of(DIGEST, root, utc_now())

    assert found.until is not None
    assert approval_of(DIGEST, root, found.until - timedelta(seconds=1)).approved
    assert not approval_of(DIGEST, root, found.until).approved


def test_a_trainer_of_whom_the_provenance_knows_cannot_be_left_out(root: Path) -> None:
    found = approval_of(DIGEST, root, utc_now(), trainers=["Lea"])

    assert "record 10 is signed by Dr Lea, who trained it" in found.why


def test_an_anchor_of_a_longer_chain_refuses_all(root: Path) -> None:
    anchor = Anchor("the tag", 12, digest_of(root, 12))
    record_path(root, 12).unlink()

    found = approval_of(DIGEST, root, utc_now(), anchors=[anchor])

    assert "record 12 is missing: the tag knows it" in found.why


def test_figures_below_a_gate_are_named() -> None:
    metrics = {"test/dice": 0.79, "test/iou": 0.7}

    faults = faults_of_gates(metrics, {"test/dice": 0.8, "test/iou": 0.7, "test/pa": 1})

    assert len(faults) == 2
    assert faults[0] == "test/dice is 0.79, below the 0.8 of policy.gates"
    assert "test/pa is nan" in faults[1]
