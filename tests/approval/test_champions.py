"""The champion is the last version that a record made one."""

from pathlib import Path

from segpipe.approval.chain.verification import verify
from segpipe.approval.champions import Reign, champions
from segpipe.approval.protocol import read_protocol
from tests.support.reviews import (
    OTHER,
    decision,
    emergency,
    promotion,
    signed,
    subject,
    write_policy,
)


def reigns(root: Path) -> list[Reign]:
    protocol = read_protocol(root)
    assert protocol is not None
    return champions(verify(root), "liver", protocol)


def test_each_act_that_makes_a_champion_counts_in_its_order(root: Path) -> None:
    signed(emergency(subject(OTHER, "4")), "ann", root)
    signed(promotion(act="rollback"), "max", root)
    signed(decision(subject(OTHER, "4"), promote=True), "lea", root)
    signed(decision(what="reject"), "lea", root)

    found = [(one.subject.version, one.act, one.by) for one in reigns(root)]
    assert found == [
        ("3", "promote", "Dr Lea as lead"),
        ("4", "emergency", "Dr Ann as admin"),
        ("3", "rollback", "Dr Max as lead"),
        ("4", "approve", "Dr Lea as lead"),
    ]


def test_a_decision_makes_a_champion_once_its_approval_is_complete(root: Path) -> None:
    write_policy(root, approvals="{lead: 2}")
    signed(decision(subject(OTHER, "4"), promote=True), "lea", root)
    assert reigns(root)[-1].subject.version == "3"

    signed(decision(subject(OTHER, "4"), promote=True), "max", root)
    assert reigns(root)[-1].subject.version == "4"


def test_another_name_has_other_champions(root: Path) -> None:
    protocol = read_protocol(root)

    assert protocol is not None
    assert champions(verify(root), "kidney", protocol) == []
