"""nnU-Net sees the same files, no label of a test case, and is judged on the same."""

from pathlib import Path

import numpy as np
import pytest

from experiments.arms import Run
from experiments.leaderboard.peer import judge_files, write_exchange
from segpipe.dataset.case import read_cases
from segpipe.dataset.split import Fold, Split
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.project.paths import Paths
from tests.support.sides import write_cases

SPLIT = Split(
    format_version=1,
    test=("eve-0",),
    folds=(Fold(training=("ann-0",), validation=("bob-0",)),),
)
GRID = Grid.from_spacing((4, 1, 1), (1.0, 1.0, 1.0), "mm")


def write_label(file: Path, values: list[int]) -> None:
    array = np.array(values, np.uint8).reshape(GRID.shape)
    nifti.write_label(file, array, GRID)


def test_the_exchange_has_all_images_and_no_label_of_a_test_case(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path / "own")
    write_cases(paths, ["ann", "bob", "eve"], studies=1)
    for name in ("a.nii", "b.nii"):
        write_label(paths.data / name, [0, 1, 1, 0])
    raw = tmp_path / "peer" / "Dataset001_own"
    write_exchange(read_cases(paths.artifacts), SPLIT, paths.data, raw)

    files = sorted(str(file.relative_to(raw)) for file in raw.rglob("*.nii"))
    assert files == ["imagesTr/a.nii", "imagesTs/a.nii", "labelsTr/b.nii"]
    assert (raw / "sides.csv").read_text(encoding="utf-8").splitlines() == [
        "name,side",
        "ann-0,training",
        "bob-0,validation",
        "eve-0,test",
    ]


def test_a_label_map_is_judged_by_voxels(tmp_path: Path) -> None:
    """Two voxels drawn, three found, one of them drawn: Dice 2 / 5, IoU 1 / 4."""
    paths = Paths(tmp_path / "own")
    write_cases(paths, ["ann", "bob", "eve"], studies=1)
    write_label(paths.data / "b.nii", [0, 0, 1, 1])
    run = Run(tmp_path / "run", {})
    write_label(run.folder / "eve-0.nii", [1, 1, 1, 0])

    (row,) = judge_files(run, read_cases(paths.artifacts), SPLIT, paths.data)
    assert row["patient"] == "eve"
    assert (row["dice"], row["iou"]) == (pytest.approx(0.4), pytest.approx(0.25))
