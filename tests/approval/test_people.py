"""Who may sign is what the chain said up to the record."""

from pathlib import Path

from segpipe.approval.chain.verification import verify
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
    assert verify(root).roster.active["max"].names == {"max", "tom@lab"}
