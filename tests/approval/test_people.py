"""Who may sign is what the chain said up to the record."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from segpipe.approval.chain.verification import verify
from segpipe.approval.people import Person
from tests.support.reviews import PEOPLE


def test_the_people_are_those_whom_the_chain_enrols(root: Path) -> None:
    roster = verify(root).roster

    everybody = {one.name: one.roles for one in roster.keys.values()}
    assert everybody == PEOPLE
    assert set(roster.active) == set(PEOPLE) - {"ray"}
    (ray,) = (one for one in roster.keys.values() if one.name == "ray")
    assert (ray.enrolled, ray.revoked) == (4, 11)
    assert ray.until is not None


def test_a_person_is_known_by_several_names(root: Path) -> None:
    names = verify(root).roster.active["max"].names
    assert names == {"max", "dr max", "tom@lab"}


@pytest.mark.parametrize(
    ("trainer", "known"),
    [
        ("jose", True),
        ("JOSE", True),
        ("Jos\u00e9 O'Brien", True),  # as it is printed
        ("JOSE\u0301 O'BRIEN", True),  # the accent is a letter of its own
        ("jos\u00e9  o'brien ", True),
        ("J.Weiss@Lab", True),
        ("j.wei\u00df@lab", True),
        ("jose o'brien", False),
        ("brien", False),
        ("", False),
    ],
)
def test_a_trainer_is_found_however_the_name_is_written(
    trainer: str, known: bool
) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    printed = "Jos\u00e9 O'Brien"
    one = Person("jose", printed, ("reader",), "0" * 64, ("j.weiss@lab",), 1, since)

    assert one.is_among(["tom", trainer]) is known
