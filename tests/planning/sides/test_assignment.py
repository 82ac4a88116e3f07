"""Sides have the sizes of the params, and a share of all that patients have."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from segpipe.planning.sides.assignment import assign
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.projects import changed
from tests.support.sides import MANY, PARAMS, sides, split_of, stains, write_cases


@pytest.mark.parametrize("test_fraction", [0.0, 0.1, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("n_folds", [2, 4, 5, 10])
def test_sizes_are_within_one_patient_of_what_the_params_say(
    n_folds: int, test_fraction: float
) -> None:
    """No wanted side is empty; a fold with less than one patient has one."""
    params = changed(PARAMS, n_folds=n_folds, test_fraction=test_fraction)
    part = (1 - test_fraction) / n_folds
    for count in range(n_folds + 1, 64):
        names = {f"patient_{n}": f"patient_{n}" for n in range(count)}
        found = assign(params, names, {}, {name: {""} for name in names})
        sizes = Counter(found.values())
        folds = [sizes[n] for n in range(n_folds)]

        assert sum(sizes.values()) == count
        assert min(folds) >= 1
        assert (sizes["test"] >= 1) is (test_fraction > 0)
        assert max(folds) - min(folds) <= 1
        if min(part, test_fraction or 1) * count >= 1:
            assert abs(sizes["test"] - test_fraction * count) <= 1
            assert all(abs(size - part * count) <= 1 for size in folds)


def test_each_site_is_spread_over_all_sides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, studies=1, attributes={p: {"site": p[-1]} for p in MANY})
    side = sides(split_of(paths))

    for site in "0123456789":
        of_site = [side[f"{p}-0"] for p in MANY if p[-1] == site]
        assert len(set(of_site)) >= 4  # of six, on six sides


@pytest.mark.parametrize(
    ("having", "expected"),
    [
        (1, {"1"}),
        (2, {"1", "test"}),
        (3, {"1", "test", "0"}),
        (6, {"test", *"01234"}),
    ],
)
def test_a_rare_structure_is_trained_then_tested_then_validated(
    having: int, expected: set[str], tmp_path: Path
) -> None:
    """Whatever the seed, and in spite of sites and of another rare structure."""
    paths = Paths(tmp_path)
    rare = dict.fromkeys(MANY[8 : 8 + having], ("a", "rare"))
    other = dict.fromkeys(MANY[16:18], ("a", "other"))
    sites = {name: {"site": str(n % 3)} for n, name in enumerate(MANY[:20])}
    write_cases(paths, MANY[:20], attributes=sites, drawn=other | rare)
    for seed in range(20):
        (tmp_path / "split.lock").unlink(missing_ok=True)
        shutil.rmtree(paths.artifacts / "split", ignore_errors=True)
        side = sides(split_of(paths, changed(PARAMS, seed=seed)))

        assert {side[f"{name}-0"] for name in rare} == expected
        assert {side[f"{name}-0"] for name in other} == {"1", "test"}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_the_error_for_few_patients_says_works(count: int, tmp_path: Path) -> None:
    """Copies under other names are one patient."""
    paths = Paths(tmp_path)
    copies = {f"{name}-0": "a" for name in MANY[:2]}
    write_cases(paths, MANY[: count + 1], digests=copies)
    with pytest.raises(DataError) as caught:
        split_of(paths)

    mend, params = str(caught.value).rsplit("; ", 1)[1], PARAMS
    more = re.match(r"add cases of (\d) other patients", mend)
    if more:
        write_cases(paths, MANY[: count + 1 + int(more[1])], digests=copies)
        with pytest.raises(DataError) as caught:
            split_of(paths)
        mend = str(caught.value).rsplit("; ", 1)[1]
    folds = re.fullmatch(r"set split.n_folds to (\d), and list no .* in folds", mend)
    assert folds
    params = changed(PARAMS, n_folds=int(folds[1]))
    assert all(fold.training for fold in split_of(paths, params).folds)


@pytest.mark.parametrize("seed", range(4))
def test_each_side_has_its_share_of_a_group(tmp_path: Path, seed: int) -> None:
    """Test should get 2.4 of 12 stained patients, and each fold 1.9 of them."""
    paths = Paths(tmp_path)
    of = stains(12)
    write_cases(paths, MANY, studies=1, attributes=of)

    found = split_of(paths, changed(PARAMS, groups=("stain",), seed=seed))

    stained = {f"{name}-0" for name in MANY[-12:]}
    assert len(stained.intersection(found.test)) in (2, 3)
    assert len(found.test) == 12
    for fold in found.folds:
        assert 1 <= len(stained.intersection(fold.validation)) <= 3
    values = found.groups["stain"]
    assert {name for name, value in values.items() if value == "H&E"} == stained


def test_nobody_is_tested_if_the_params_ask_for_none(tmp_path: Path) -> None:
    """Two patients are enough then, and a given side still tests."""
    paths = Paths(tmp_path)
    none = changed(PARAMS, test_fraction=0.0, n_folds=2)
    write_cases(paths, MANY[:2])
    assert split_of(paths, none).test == ()

    write_cases(paths, MANY[:8], attributes={MANY[5]: {"side": "test"}})
    found = split_of(paths, none)
    assert found.test == (f"{MANY[5]}-0", f"{MANY[5]}-1")
