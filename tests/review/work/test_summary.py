"""The summary counts what the protocol says, and nothing else."""

import math
from pathlib import Path
from typing import Any

import pytest

from segpipe.review.shelf import Volume
from segpipe.review.work.summary import Missing, find_missing, summarize
from tests.support.work import control, person, readings_of, shown, write_work


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    items = {f"rand{n}": shown("random", f"case{n}") for n in range(4)}
    items |= {f"wors{n}": shown("worst", f"bad{n}", rank=2 - n) for n in range(2)}
    items["again"] = shown("repeat", "case0", repeats="rand0")
    items["ctrl"] = control()
    return write_work(tmp_path, items)


def both(item: str, first: Any, second: Any) -> list[Any]:
    return [("jane", item, {"candidate": first}), ("john", item, {"candidate": second})]


def complete(volume: Volume, **special: tuple[Any, Any]) -> list[Any]:
    """Two readers of all items: 4 for everything, 1 for the control, if not said."""
    usual = dict.fromkeys(volume.items, (4, 4)) | special
    if "ctrl" in volume.items:
        usual = {**usual, "ctrl": (1, 1), **special}
    return [one for item, scores in usual.items() for one in both(item, *scores)]


def test_the_lowest_score_counts_and_an_adjudication_in_its_place(
    volume: Volume,
) -> None:
    """Scores 4 and 3, 3 and 2, 4 and 1 adjudicated as 3, and nobody could judge."""
    said = complete(
        volume, rand0=(4, 3), rand1=(3, 2), rand2=(4, 1), rand3=(None, None)
    )
    said.append(("!anna", "rand2", {"candidate": 3}))
    found = summarize(readings_of(volume, said))

    assert found.missing.nothing
    assert (found.unacceptable.count, found.unacceptable.cases) == (1, 3)
    verdicts = {one.case: one.is_acceptable for one in found.random}
    assert verdicts == {"case0": True, "case1": False, "case2": True, "case3": None}
    assert found.scores["candidate", "ball"] == {3: 2, 2: 1, None: 1}
    assert found.scores["reference", "ball"] == {4: 4}
    assert found.adjudicated == 1
    assert found.seconds == 30


def test_nothing_is_estimated_from_worst_cases_repeats_and_controls(
    volume: Volume,
) -> None:
    """None of 4: the bound is 1 - .05^(1/4)."""
    said = complete(volume, wors0=(1, 1), wors1=(2, 2), again=(1, 1))
    found = summarize(readings_of(volume, said))

    assert (found.unacceptable.count, found.unacceptable.cases) == (0, 4)
    assert found.unacceptable.high == pytest.approx(1 - 0.05 ** (1 / 4))
    assert [(one.case, one.is_acceptable) for one in found.worst] == [
        ("bad1", False),
        ("bad0", False),
    ]


def test_a_case_of_both_strata_counts_in_both(tmp_path: Path) -> None:
    items = {
        "rand0": shown("random", "case0", rank=2, also_worst=True),
        "rand1": shown("random", "case1", rank=9),
        "wors0": shown("worst", "bad0", rank=1),
    }
    volume = write_work(tmp_path, items)
    found = summarize(readings_of(volume, complete(volume, rand0=(1, 1))))

    assert (found.unacceptable.count, found.unacceptable.cases) == (1, 2)
    assert [one.case for one in found.random] == ["case0", "case1"]
    assert [one.case for one in found.worst] == ["bad0", "case0"]


def test_who_does_not_refuse_a_control_is_named(volume: Volume) -> None:
    """Who cannot judge it did not refuse it."""
    said = complete(volume, ctrl=(2, None))
    (caught,) = summarize(readings_of(volume, said)).controls

    assert (caught.refused, caught.missed) == (["Dr Jane"], ["Dr John"])
    assert caught.fault == "mirrored"


def test_readers_agree_with_each_other_and_with_themselves(volume: Volume) -> None:
    """The control and the repeat are no cases of their own: 6 cases, 3 masks each."""
    said = complete(volume, rand0=(4, 3), rand1=(3, 2), again=(1, 3))
    found = summarize(readings_of(volume, said))

    kappa = found.between["jane", "john"]
    assert (kappa.pairs, kappa.cases) == (18, 6)
    assert 0 < kappa.value < 1
    assert found.within["jane"].pairs == 3
    assert found.within["jane"].value == pytest.approx(0)
    assert found.within["john"].value == pytest.approx(1)
    assert math.isnan(found.within["jane"].low)  # one case says nothing of the error
    assert found.people == {"jane": "Dr Jane", "john": "Dr John"}


def test_the_candidate_is_compared_with_the_champion_by_random_case(
    volume: Volume,
) -> None:
    """Higher in two of three with a difference: the table of Clopper and Pearson."""
    said = [
        (name, item, {"candidate": candidate, "champion": champion})
        for name in ("jane", "john")
        for item, candidate, champion in (
            ("rand0", 4, 3),
            ("rand1", 3, 2),
            ("rand2", 2, 3),
            ("rand3", 3, 3),
            ("wors0", 1, 4),
        )
    ]
    found = summarize(readings_of(volume, said)).preference

    assert found is not None
    assert (found.candidate, found.champion, found.equal) == (2, 1, 1)
    assert (found.rate.low, found.rate.high) == pytest.approx(
        (0.0943, 0.9916), abs=1e-4
    )


def test_what_is_missing_is_counted(volume: Volume) -> None:
    said = complete(volume, rand2=(4, 1))
    assert find_missing(readings_of(volume, [])) == Missing(16, 0)
    assert find_missing(readings_of(volume, said)) == Missing(0, 1)
    assert find_missing(readings_of(volume, said[1:])) == Missing(1, 1)

    third = [*said, ("mary", "rand0", {})]
    assert find_missing(readings_of(volume, third)) == Missing(1, 1)  # the control


def test_nobody_waits_for_who_has_left(volume: Volume) -> None:
    """John left before he read repeat and control, and did not read the last case."""
    gone = person("john")
    gone = type(gone)(**{**vars(gone), "revoked": 9})
    left = [
        one
        for one in complete(volume)
        if one[0] != "john" or one[1] not in ("again", "ctrl", "wors1")
    ]

    assert find_missing(readings_of(volume, left)) == Missing(3, 0)
    found = find_missing(readings_of(volume, left, people=[gone]))
    assert found == Missing(1, 0)
