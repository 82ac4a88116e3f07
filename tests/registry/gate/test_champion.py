"""The champion's figures are evaluate's, and no case is segmented twice."""

import shutil
from pathlib import Path

import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import read_split
from segpipe.evaluation.figures import Rows, read_rows
from segpipe.project.paths import Paths
from segpipe.registry.gate.champion import evaluate_champion
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.projects import one_thread


@pytest.fixture
def paths(trained: Path, tmp_path: Path) -> Paths:
    shutil.copytree(trained, tmp_path / "project")
    return Paths(tmp_path / "project")


def figures(paths: Paths, names: list[str] | None = None) -> Rows:
    """Figures of the model poor, as if it were the champion, on the test cases."""
    folder = paths.artifacts / "train" / "poor" / "0" / "segmenter"
    return evaluate_champion(
        Segmenter.load(folder),
        segmenter_digest(folder),
        read_cases(paths.artifacts),
        list(read_split(paths.artifacts).test) if names is None else names,
        compute=one_thread(),
        paths=paths,
    )


def label_maps(paths: Paths) -> set[Path]:
    return set((paths.cache / "comparison").glob("*/"))


def test_the_champions_figures_are_those_that_evaluate_gives_it(paths: Paths) -> None:
    found = figures(paths)

    rows = read_rows(paths.artifacts, "poor")
    assert len(found) > 2
    assert str(found) == str(rows)  # NaN equals NaN


def test_a_label_map_is_of_one_image(paths: Paths) -> None:
    """One image that changed is segmented again, the others are not."""
    figures(paths)
    before = label_maps(paths)
    name, other = read_split(paths.artifacts).test[:2]
    images = paths.data / "imagesTr"
    shutil.copy(images / f"{other}_0000.nii", images / f"{name}_0000.nii")
    figures(paths)

    assert len(before) == len(read_split(paths.artifacts).test)
    assert len(label_maps(paths) - before) == 1


def test_only_the_cases_that_are_asked_for_are_segmented(paths: Paths) -> None:
    name = read_split(paths.artifacts).test[0]

    assert figures(paths, []) == {}
    assert not label_maps(paths)
    assert {case for case, _ in figures(paths, [name])} == {name}
    assert len(label_maps(paths)) == 1
