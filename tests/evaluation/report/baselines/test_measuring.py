"""Methods are named by training cases and measured on test cases as networks are."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.split import Fold, Split
from segpipe.evaluation.figures import Figures
from segpipe.evaluation.report.baselines.measuring import measure_baselines
from segpipe.evaluation.report.baselines.methods import Method
from segpipe.images.formats.files import read_label, write_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.evaluations import make_figures
from tests.support.phantoms import ball, write_dataset
from tests.support.projects import run_to_split

METHODS = get_args(Method)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Pictures of bright discs with ids."""
    paths = Paths(tmp_path_factory.mktemp("discs"))
    write_dataset(paths.data, dimensions=2, structures=1, instances=True, cases=8)
    run_to_split(paths, dimensions=2)
    return paths


def sides(cases: CaseList, training: int) -> Split:
    """The first cases train, the others are tested."""
    names = tuple(case.name for case in cases.cases)
    fold = Fold(training=names[:training], validation=())
    return Split(format_version=1, test=names[training:], folds=(fold,))


def measured(paths: Paths, training: int = 4, *methods: Method) -> dict[str, float]:
    cases = read_cases(paths.artifacts)
    found = measure_baselines(
        methods or METHODS,
        cases,
        sides(cases, training),
        folds=[0],
        like=make_figures(),
        data=paths.data,
    )
    assert all(one.seconds is not None and one.seconds >= 0 for one in found.values())
    return {name: one.figures.test["dice_mean"] or 0.0 for name, one in found.items()}


def test_bright_discs_are_found_by_every_method(project: Paths) -> None:
    """A watershed and superpixels may err at the edge, by some pixels of hundreds."""
    found = measured(project)

    assert [*found] == [*METHODS]
    assert min(found.values()) > 0.97
    assert found["otsu"] == 1


def test_the_labels_of_test_cases_name_no_group(project: Paths, tmp_path: Path) -> None:
    """Seven test cases with inverted labels outvote one training case, if they vote.

    Then the dark group would be the discs, with a Dice near 1.
    """
    paths = Paths(tmp_path)
    shutil.copytree(project.root, tmp_path, dirs_exist_ok=True)
    names = [case.name for case in read_cases(paths.artifacts).cases]
    for name in names[1:]:
        file = paths.data / "labelsTr" / f"{name}.png"
        label = read_label(file)
        write_label(file, 1 - label.array, label.grid)

    assert max(measured(paths, 1).values()) < 0.1


def test_a_watershed_divides_discs_that_touch_and_components_do_not(
    project: Paths, tmp_path: Path
) -> None:
    """In each case two discs of radius 8 whose centres lie 15 apart, and one alone."""
    paths = Paths(tmp_path)
    shutil.copytree(project.root, tmp_path, dirs_exist_ok=True)
    cases = read_cases(paths.artifacts)
    for case in cases.cases:
        grid = read_label(paths.data / case.label).grid
        ids = np.zeros(grid.shape, dtype=np.uint8)
        for number, center in enumerate(((10, 10), (10, 25), (34, 30)), start=1):
            ids[ball(8, shape=grid.shape, center=(*center, 0.0))] = number
        assert case.instances is not None
        for file, array in (
            (case.images[0], np.where(ids > 0, 200, 20)),
            (case.label, ids > 0),
            (case.instances, ids),
        ):
            write_label(paths.data / file, array.astype(np.uint8), grid)

    found = measure_baselines(
        ["otsu", "watershed"],
        cases,
        sides(cases, 4),
        folds=[0],
        like=make_figures(),
        data=paths.data,
    )
    whole, divided = (one.figures.instances for one in found.values())
    assert whole is not None
    assert divided is not None
    assert (whole["n_reference"], whole["n_predicted"]) == (12, 8)
    assert (divided["n_predicted"], divided["f1"]) == (12, 1)


def test_nothing_is_measured_where_nothing_is_tested(project: Paths) -> None:
    assert measured(project, 8) == {}


def test_figures_that_say_no_tolerance_are_measured_again(project: Paths) -> None:
    """An older segpipe left it out; the mend is to write the figures again."""
    said = make_figures()
    old = said.model_copy(update={"surface_tolerance": None})
    cases = read_cases(project.artifacts)

    def measure(like: Figures) -> int:
        split = sides(cases, 7)
        return len(
            measure_baselines(
                METHODS[:1], cases, split, folds=[0], like=like, data=project.data
            )
        )

    with pytest.raises(DataError, match="run segpipe evaluate --model"):
        measure(old)
    assert measure(said) == 1
