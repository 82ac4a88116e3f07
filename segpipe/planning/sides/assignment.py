"""Assignment: the side of each patient that has none yet."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from segpipe.project.params import Params

TEST: Literal["test"] = "test"
FEWEST = 3  # patients: one to test, one to validate, one to train
Side = Literal["test"] | int  # the number of the fold that a patient validates, or TEST


class SplitParams(Params):
    """Section split of params.yaml.

    Attributes:
        seed: Seed of the order in which patients are assigned to sides.
        test_fraction: Share of the patients that are in the test set.
        n_folds: Number of parts of the other patients; fold n validates on part n and
            trains on the others.
        groups: Columns of patients.csv whose values are on as many sides as can be, as
            the structures and the site are; a training may draw patches by them.
    """

    seed: int
    test_fraction: float = Field(ge=0, lt=1)
    n_folds: int = Field(ge=2)
    # None in the params of projects that were written before it.
    groups: tuple[str, ...] = ()


def hashed_share(*words: object) -> float:
    """Hash words to a number from 0 to 1."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    params: SplitParams,
    first: dict[str, str],
    known: dict[str, Side],
    traits: Mapping[str, set[str]],
) -> dict[str, Side]:
    """The side of each patient: the known one, or one that lacks what the patient has.

    First each side gets a number of seats, so that its size is that of the params. Then
    the rarest trait is spread over the sides with seats, then the next rarest. If only
    one patient has it, all folds but 1 train on it; two, and it is tested, too; three,
    and fold 0 validates it.

    Source:
        Sechidis 2011, doi:10.1007/978-3-642-23808-6_10, algorithm 1: the rarest label
        first, to the side that lacks most of its share. Seats by the same rule, which
        for one label is the method of the largest remainder.
    """
    part = (1 - params.test_fraction) / params.n_folds
    tested: list[Side] = [TEST] if params.test_fraction else []
    order: list[Side] = [1, *tested, *(n for n in range(params.n_folds) if n != 1)]
    shares = {side: params.test_fraction if side == TEST else part for side in order}
    sides = dict(known)
    own = {leader: set[str]() for leader in sorted(set(first.values()))}
    for patient, leader in first.items():
        own[leader] |= traits[patient]
    free = [leader for leader in own if leader not in sides]
    free.sort(key=lambda leader: hashed_share(params.seed, "order", leader))
    sizes = Counter(sides.values())
    seats = Counter[Side]()
    for _ in free:
        side = _neediest(order, shares, sizes, len(own))
        sizes[side] += 1
        seats[side] += 1
    bearers: dict[str, list[str]] = defaultdict(list)  # of each trait, the free last
    for leader in (*(leader for leader in own if leader in sides), *free):
        for trait in own[leader]:
            bearers[trait].append(leader)
    number = {trait: len(found) for trait, found in bearers.items()}
    for trait in sorted(number, key=lambda trait: (number[trait], trait)):
        held = Counter(sides[one] for one in bearers[trait] if one in sides)
        for leader in [one for one in bearers[trait] if one not in sides]:
            places = [side for side in order if seats[side]]
            side = _neediest(places, shares, held, number[trait])
            sides[leader] = side
            held[side] += 1
            seats[side] -= 1
    return {patient: sides[leader] for patient, leader in first.items()}


def _neediest(
    order: Sequence[Side],
    shares: Mapping[Side, float],
    held: Mapping[Side, int],
    total: int,
) -> Side:
    """The first side without any of a total, or the one that lacks most of its share.

    Shares are rounded, so that equal sides are equal, and the first one is chosen.
    """
    for side in order:
        if not held.get(side):
            return side
    return max(order, key=lambda side: round(shares[side] * total - held[side], 9))


def find_empty_side(sides: dict[str, Side], params: SplitParams) -> str | None:
    """The first side without a patient; None if there is no such side.

    Nobody needs to be tested if the params ask for none.
    """
    wanted = [TEST] if params.test_fraction else []
    for side in (*wanted, *range(params.n_folds)):
        if side not in sides.values():
            return TEST if side == TEST else f"fold {side}"
    return None


def mend_of_empty_side(
    params: SplitParams, first: dict[str, str], *, given: bool, kept: bool
) -> str:
    """What to change so that no side is empty."""
    different = len(set(first.values()))
    if different < FEWEST:
        return (
            f"add cases of {FEWEST - different} other patients: one to test, one to "
            "validate and one to train are the fewest"
        )
    if different <= params.n_folds:
        return f"set split.n_folds to {different - 1}, and list no higher fold in folds"
    anew = "set another split.seed, which assigns all others anew"
    fewer = "give fewer patients a side in patients.csv or data/splits.csv"
    return " and ".join([fewer] * given + [anew] * kept)
