"""Views: the right plane and slice, the right way round."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.evaluation.report.pictures.contours import COLOURS, colour_of
from segpipe.evaluation.report.pictures.planes import View
from segpipe.evaluation.report.pictures.views import (
    build_exhibit,
    by_instance,
    shown_channels,
)
from segpipe.images.formats.files import write_label
from segpipe.images.formats.nifti import write_image
from segpipe.images.grid import Grid
from segpipe.project.paths import Paths

SHAPE = (6, 8, 10)


def cases(*, instances: bool = False) -> CaseList:
    case = Case(
        name="a",
        patient="p",
        images=("a_0000.nii",),
        label="a.nii",
        instances="ids.nii" if instances else None,
        shape=SHAPE,
        spacing=(1.0, 2.0, 3.0),
        attributes={},
        warnings=(),
    )
    return CaseList(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing_mm=None,
        file_ending=".nii",
        channels=("x",),
        labels={"background": 0, "cell": 2, "vessel": 5},
        ignore=None,
        cases=(case,),
    )


def write(paths: Paths, label: np.ndarray, ids: np.ndarray | None = None) -> None:
    """A case whose first axis runs to the left and third downwards, as some are."""
    affine = np.diag([-1.0, 2.0, -3.0, 1.0])
    grid = Grid(SHAPE, affine, "mm")
    image = np.zeros(SHAPE, dtype=np.float32)
    image[0, 7, 0] = 1  # right, front, head
    write_image(paths.data / "a_0000.nii", image, grid)
    write_label(paths.data / "a.nii", label, grid)
    if ids is not None:
        write_label(paths.data / "ids.nii", ids, grid)
    write_prediction(paths, label)


def write_prediction(paths: Paths, label: np.ndarray) -> None:
    grid = Grid(SHAPE, np.diag([-1.0, 2.0, -3.0, 1.0]), "mm")
    write_label(paths.artifacts / "predict" / "m" / "a.nii", label, grid)


def views(paths: Paths, model: str = "m", *, instances: bool = False) -> list[View]:
    cases_ = cases(instances=instances)
    return build_exhibit(cases_, "a", models=[model], paths=paths).views


def shown(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction of the slice that is shown first."""
    assert view.reference is not None
    (prediction,) = view.predictions.values()
    return view.reference[view.chosen], prediction[view.chosen]


def test_right_is_left_and_front_and_head_are_up(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[0, 7, 0] = 2
    write(paths, label)

    axial, coronal, sagittal = views(paths)

    for view in (axial, coronal, sagittal):
        reference, prediction = shown(view)
        assert np.argwhere(reference).tolist() == [[0, 0]]
        assert np.array_equal(prediction, reference)
    assert (axial.aspect, coronal.aspect, sagittal.aspect) == (2, 3, 1.5)
    assert axial.image.shape == (10, 8, 6)
    assert axial.image[axial.chosen, 0, 0] == 1


def test_the_plane_is_the_one_with_the_largest_area_of_errors(tmp_path: Path) -> None:
    """Much is drawn, and found, at k = 7; less is missed or invented elsewhere."""
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[2:5, 2:6, 7] = 5
    label[1, 1:3, 2] = 2
    write(paths, label)
    found = label.copy()
    found[1, 1:3, 2] = 0  # two voxels missed
    found[4, 3:6, 4] = 2  # three invented
    write_prediction(paths, found)

    axial, coronal, sagittal = views(paths)

    assert axial.words(axial.chosen) == "slice 5 of 10 (k = 4)"
    assert sagittal.words(sagittal.chosen) == "slice 5 of 6 (i = 4)"
    assert coronal.places[coronal.chosen] in (3, 4, 5, 1, 2)
    reference, prediction = shown(axial)
    assert (reference.sum(), (prediction == 1).sum()) == (0, 3)  # class 1 is the cell


def test_what_nobody_annotated_is_no_error(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[:, :, 9] = 9
    label[1, 1, 3] = 2
    write(paths, label)
    found = np.where(label == 9, 2, 0).astype(np.uint8)
    write_prediction(paths, found)
    ignoring = cases().model_copy(update={"ignore": 9})

    axial = build_exhibit(ignoring, "a", models=["m"], paths=paths).views[0]

    assert axial.places[axial.chosen] == 3


def test_without_errors_it_is_the_plane_with_most_of_what_was_drawn(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[2, 2, 4] = 2
    label[2:5, 2:6, 7] = 5
    write(paths, label)

    reference, _ = shown(views(paths)[0])

    assert (reference == 2).sum() == 12  # class 2 is the vessel


def test_touching_instances_and_their_one_prediction_can_be_told_apart(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    ids = np.zeros(SHAPE, dtype=np.uint8)
    label[1:5, 1:4, 5] = 2
    ids[1:3, 1:4, 5], ids[3:5, 1:4, 5] = 1, 8
    label[1:5, 6, 5] = 5
    write(paths, label, ids)

    exhibit = build_exhibit(cases(instances=True), "a", models=["m"], paths=paths)

    reference, prediction = shown(exhibit.views[0])
    assert len(np.unique(reference)) == 4  # nothing, two cells, a vessel
    assert len({colour_of(n) for n in np.unique(reference)[1:].tolist()}) == 3
    assert len(np.unique(prediction)) == 3  # nothing, one cell, a vessel
    cell, vessel = exhibit.structures
    assert cell.instances == {"reference": 2, "m": 1}
    assert (cell.number, vessel.instances) == (None, {})
    row = shown(exhibit.views[0])[0][reference > 0]
    assert vessel.number in row.tolist()


def test_what_has_no_id_is_drawn_and_is_no_instance(tmp_path: Path) -> None:
    """Two cells have ids, and a third is drawn without one; the model finds all."""
    paths = Paths(tmp_path)
    label, ids = np.zeros((2, *SHAPE), dtype=np.uint8)
    for number, k in enumerate((1, 4, 7)):
        label[2, 2, k] = 2
        ids[2, 2, k] = (5, 9, 0)[number]
    write(paths, label, ids)

    exhibit = build_exhibit(cases(instances=True), "a", models=["m"], paths=paths)

    (cell,) = exhibit.structures
    assert cell.instances == {"reference": 2, "m": 3}
    assert {name: round(size, 6) for name, size in cell.sizes.items()} == {
        "reference": 0.018,  # three voxels of 6 mm3
        "m": 0.018,
    }


@pytest.mark.parametrize("shape", [(30, 30, 1), (12, 12, 12)])
def test_instances_that_touch_have_different_colours(
    shape: tuple[int, int, int],
) -> None:
    """Blocks of a checked pattern, each of which touches up to 26 others."""
    at = np.indices(shape) // 3
    ids = 1 + at[0] + 100 * at[1] + 10_000 * at[2]
    regions = by_instance(np.ones_like(ids), ids)

    assert len(np.unique(regions)) == len(np.unique(ids))
    assert (regions % len(COLOURS) != 0).all()
    flat = [np.diff(regions % len(COLOURS), axis=axis) for axis in range(2)]
    touching = [np.diff(regions, axis=axis) != 0 for axis in range(2)]
    same = sum(((f == 0) & t).sum() for f, t in zip(flat, touching, strict=True))
    borders = sum(t.sum() for t in touching)
    assert same <= (0 if shape[2] == 1 else borders * 0.1)


def test_sizes_are_volumes_in_millilitres(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[2:5, 2:6, 7] = 5
    write(paths, label)
    write_prediction(paths, np.roll(label, 1, axis=0) * (np.arange(8) < 5)[:, None])

    exhibit = build_exhibit(cases(), "a", models=["m"], paths=paths)

    (vessel,) = exhibit.structures
    assert exhibit.unit == "ml"
    voxel = 1 * 2 * 3 / 1000
    assert vessel.sizes["reference"] == pytest.approx(12 * voxel)
    assert vessel.sizes["m"] == pytest.approx(9 * voxel)


def test_a_missing_prediction_is_told_from_one_that_found_nothing(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    label = np.full(SHAPE, 2, dtype=np.uint8)
    write(paths, label)
    write_prediction(paths, np.zeros_like(label))
    models = ["m", "other"]

    exhibit = build_exhibit(cases(), "a", models=models, paths=paths)

    assert not any(array.any() for array in exhibit.views[0].predictions.values())
    assert [exhibit.found(m) for m in models] == ["nothing found", "no prediction"]


@pytest.mark.parametrize(
    ("count", "shown", "said"),
    [
        (1, 1, ""),
        (2, 1, "Only the first of 2 channels is shown: a."),
        (3, 3, "Red, green and blue show the channels a, b, c."),
        (4, 1, "Only the first of 4 channels is shown: a."),
    ],
)
def test_channels_that_are_not_shown_are_named(
    count: int, shown: int, said: str
) -> None:
    assert shown_channels(count, "abcd"[:count]) == (shown, [said] if said else [])
