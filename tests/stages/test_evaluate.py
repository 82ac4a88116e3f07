"""Figures: the right ones, and no failure that improves any of them."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segpipe.dataset.split import read_split
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import evaluate
from tests.support.phantoms import write_dataset
from tests.support.projects import EVALUATE, PATIENTS, changed, run_to_split


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = Paths(tmp_path_factory.mktemp("verified"))
    write_dataset(paths.data, cases=10, patients=PATIENTS, instances=True, ignore=9)
    run_to_split(paths)
    return paths.root


@pytest.fixture
def paths(verified: Path, tmp_path: Path) -> Paths:
    """A project whose predictions are the references."""
    shutil.copytree(verified, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path)
    for name in read_split(paths.artifacts).test:
        change(paths, name, lambda array: np.where(array == 9, 0, array))
    return paths


def change(paths: Paths, name: str, how: Any) -> None:
    """Write a prediction made of the reference."""
    label = read_label(paths.data / "labelsTr" / f"{name}.nii")
    file = paths.artifacts / "predict" / "m" / f"{name}.nii"
    write_label(file, how(label.array), label.grid)


def figures(paths: Paths, **values: Any) -> dict[str, Any]:
    evaluate.run(changed(EVALUATE, **values), model="m", paths=paths)
    text = (paths.artifacts / "evaluate" / "m" / "metrics.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


def rows(paths: Paths) -> list[dict[str, str]]:
    with (paths.artifacts / "evaluate" / "m" / "cases.csv").open() as file:
        return list(csv.DictReader(file))


def first_test(paths: Paths) -> str:
    return read_split(paths.artifacts).test[0]


def test_a_right_prediction_is_perfect_without_what_nobody_annotated(
    paths: Paths,
) -> None:
    found = figures(paths)

    assert found["test"]["dice_mean"] == 1
    assert found["test"]["hd95_mm_mean"] == 0
    assert found["test"]["surface_dice_mean"] == 1
    assert found["test"]["volume_error_mean"] == 0
    assert found["dataset"]["pixel_accuracy"] == 1
    assert found["test"]["n"] == 2 * found["cases"]
    assert found["test"]["n_failed"] == 0


def test_a_shifted_prediction_has_the_dice_of_its_masks(paths: Paths) -> None:
    name = first_test(paths)
    change(paths, name, lambda a: np.roll(np.where(a == 9, 0, a), 2, axis=1))
    figures(paths)

    label = read_label(paths.data / "labelsTr" / f"{name}.nii").array
    moved = np.roll(np.where(label == 9, 0, label), 2, axis=1)
    expected = dice((label == 1), (moved == 1) & (label != 9))
    (row,) = (
        row for row in rows(paths) if (row["case"], row["structure"]) == (name, "ball")
    )
    assert float(row["dice"]) == pytest.approx(expected, abs=1e-5)
    assert float(row["hd95_mm"]) >= 1


def test_a_missing_prediction_counts_as_failed_and_improves_nothing(
    paths: Paths,
) -> None:
    whole = figures(paths)
    (paths.artifacts / "predict" / "m" / f"{first_test(paths)}.nii").unlink()
    missing = figures(paths)

    assert missing["test"]["n_failed"] == 2
    assert missing["test"]["n"] == whole["test"]["n"]
    n = whole["test"]["n"]
    assert missing["test"]["dice_mean"] == pytest.approx((n - 2) / n)
    assert missing["test"]["hd95_mm_mean"] > 0
    assert missing["test"]["dice_worst"] == 0
    assert missing["dataset"]["pixel_accuracy"] < 1


def test_a_structure_that_is_missed_or_invented_fails(paths: Paths) -> None:
    change(paths, first_test(paths), lambda a: np.where(a == 3, 3, 0))
    found = figures(paths)

    assert found["structures"]["ball"]["n_failed"] == 1
    assert found["structures"]["core"]["n_failed"] == 0
    (row,) = (row for row in rows(paths) if row["failed"] == "True")
    assert float(row["dice"]) == 0
    assert float(row["volume_error"]) == -1
    extent = np.array([23, 19, 30])
    assert float(row["hd95_mm"]) == pytest.approx(np.linalg.norm(extent), abs=1e-3)


def test_a_structure_on_neither_side_does_not_count(paths: Paths) -> None:
    name = first_test(paths)
    file = paths.data / "labelsTr" / f"{name}.nii"
    label = read_label(file)
    write_label(file, np.where(label.array == 3, 0, label.array), label.grid)
    change(paths, name, lambda a: np.where(a == 9, 0, a))
    found = figures(paths)["structures"]["core"]

    assert found["n_empty"] == 1
    assert found["n_failed"] == 0
    assert found["dice_mean"] == 1


def test_the_worst_case_comes_first(paths: Paths) -> None:
    names = read_split(paths.artifacts).test
    change(paths, names[1], lambda a: np.roll(np.where(a == 9, 0, a), 3, axis=1))
    change(paths, names[2], lambda a: np.roll(np.where(a == 9, 0, a), 1, axis=1))
    figures(paths)

    order = list(dict.fromkeys(row["case"] for row in rows(paths)))
    assert order[:2] == [names[1], names[2]]


def test_figures_come_by_site_too(paths: Paths) -> None:
    (paths.artifacts / "predict" / "m" / f"{first_test(paths)}.nii").unlink()
    found = figures(paths)

    sites = found["groups"]["site"]
    assert sum(site["n"] for site in sites.values()) == found["test"]["n"]
    assert sorted(site["n_failed"] for site in sites.values())[-1] == 2
    assert figures(paths, group_by=())["groups"] == {}


def test_instances_of_a_perfect_prediction_all_match(paths: Paths) -> None:
    found = figures(paths)["instances"]

    assert found["f1"] == 1
    assert (found["merges"], found["splits"]) == (0, 0)
    assert found["n_reference"] == found["n_predicted"]
    assert set(found["structures"]) == {"ball", "core"}


def test_a_split_instance_is_counted(paths: Paths) -> None:
    def cut(array: np.ndarray) -> np.ndarray:
        cut = np.where(array == 9, 0, array)
        middle = int(np.argwhere(cut == 1)[:, 1].mean())
        cut[:, middle][cut[:, middle] == 1] = 0
        return cut

    change(paths, first_test(paths), cut)

    assert figures(paths)["instances"]["structures"]["ball"]["splits"] == 1


def test_predicted_ids_are_counted_where_there_are_any(paths: Paths) -> None:
    """Two halves of a ball touch: the label map shows one instance, the ids show two.

    Without a file of ids they are the components of the label map.
    """
    name = first_test(paths)
    file = paths.data / "instancesTr" / f"{name}.nii"
    drawn = read_label(file)
    i = np.arange(drawn.grid.shape[0]).reshape(-1, 1, 1)
    middle = int(np.argwhere(drawn.array == 1)[:, 0].mean())
    halves = np.where((drawn.array == 1) & (i >= middle), 7, drawn.array)
    write_label(file, halves, drawn.grid)
    before = figures(paths)["instances"]
    ids = paths.artifacts / "predict" / "m" / "instances" / f"{name}.nii"
    ids.parent.mkdir()
    write_label(ids, halves, drawn.grid)
    after = figures(paths)["instances"]

    ball = "structures", "ball"
    assert before[ball[0]][ball[1]]["f1"] < 0.9
    assert after[ball[0]][ball[1]]["f1"] == 1


def test_a_prediction_on_another_grid_is_refused(paths: Paths) -> None:
    name = first_test(paths)
    label = read_label(paths.data / "labelsTr" / f"{name}.nii")
    file = paths.artifacts / "predict" / "m" / f"{name}.nii"
    write_label(file, label.array[:-1], label.grid.resampled((23, 20, 16)))

    with pytest.raises(DataError, match=r"expected the grid of .*run predict again"):
        figures(paths)


def test_the_confusion_counts_every_annotated_test_voxel(paths: Paths) -> None:
    figures(paths)
    with (paths.artifacts / "evaluate" / "m" / "confusion.csv").open() as file:
        table = list(csv.reader(file))

    assert table[0] == ["reference", "background", "ball", "core"]
    counted = sum(int(value) for line in table[1:] for value in line[1:])
    names = read_split(paths.artifacts).test
    known = sum(
        int((read_label(paths.data / "labelsTr" / f"{name}.nii").array != 9).sum())
        for name in names
    )
    assert counted == known


@pytest.mark.usefixtures("workers_at_once")
def test_two_runs_write_the_same_bytes(paths: Paths) -> None:
    folder = paths.artifacts / "evaluate" / "m"
    texts = []
    for workers in (1, 2):
        figures(paths, workers=workers)
        texts.append([path.read_bytes() for path in sorted(folder.iterdir())])

    assert texts[0] == texts[1]
