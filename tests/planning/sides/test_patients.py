"""Copies stand on one side, and groups are columns that there are."""

from pathlib import Path

import pytest

from segpipe.dataset.case import read_cases
from segpipe.planning.sides.patients import find_copies
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.projects import changed
from tests.support.sides import (
    COPIES,
    MANY,
    PARAMS,
    sides,
    split_of,
    stains,
    write_cases,
)


@pytest.mark.parametrize("seed", range(20))
def test_copies_under_other_names_stand_on_one_side(seed: int, tmp_path: Path) -> None:
    """Three patients share a side by chance with one in 20, and all 20 seeds do."""
    paths, params = Paths(tmp_path), changed(PARAMS, seed=seed)
    write_cases(paths, MANY)
    apart = sides(split_of(paths, params))
    write_cases(paths, MANY, digests=COPIES)
    together = sides(split_of(paths, params))

    one = {together[f"patient_{n}-{study}"] for n in (3, 7, 50) for study in (0, 1)}
    before = {apart[f"patient_{n}-0"] for n in (3, 7, 50)}
    assert one == ({"test"} if "test" in before else {apart["patient_3-0"]})
    others = {case for case in apart if case.split("-")[0][8:] not in ("3", "7", "50")}
    assert {case: together[case] for case in others} == {
        case: apart[case] for case in others
    }


def test_a_group_that_no_case_has_is_refused_with_the_columns(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, attributes=stains(12))

    with pytest.raises(DataError, match=r"split.groups: .*\(stain\), found colour"):
        split_of(paths, changed(PARAMS, groups=("colour",)))


def test_a_chain_of_copies_is_one_group(tmp_path: Path) -> None:
    """Each patient has a scan of the next one; a second chain stays apart."""
    names = [f"{chain}_{n:04d}" for n in range(400) for chain in "ba"]
    scans = {
        f"{name}-{study}": f"{name[0]}{int(name[2:]) + study}"
        for name in names
        for study in range(2)
    }
    paths = Paths(tmp_path)
    write_cases(paths, names, digests=scans)
    first = find_copies(read_cases(paths.artifacts).cases)

    assert first == {name: f"{name[0]}_0000" for name in names}
