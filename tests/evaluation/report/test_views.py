"""Views: the right plane, the right way up."""

from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList
from segpipe.evaluation.report.pictures.views import build_views
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
    write_label(paths.artifacts / "predict" / "m" / "a.nii", label, grid)


def test_right_is_right_and_front_and_head_are_up(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[0, 7, 0] = 2
    write(paths, label)

    axial, coronal, sagittal = build_views(cases(), "a", models=["m"], paths=paths)

    assert np.argwhere(axial.reference).tolist() == [[0, 5]]
    assert np.argwhere(coronal.reference).tolist() == [[0, 5]]
    assert np.argwhere(sagittal.reference).tolist() == [[0, 7]]
    assert np.array_equal(axial.predictions["m"], axial.reference)
    assert (axial.aspect, coronal.aspect, sagittal.aspect) == (2, 3, 1.5)
    assert axial.image.shape == (8, 6)


def test_the_plane_is_the_one_with_most_of_what_was_drawn(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[2, 2, 4] = 2
    label[2:5, 2:6, 7] = 5
    write(paths, label)

    axial = build_views(cases(), "a", models=["m"], paths=paths)[0]

    assert (axial.reference == 2).sum() == 12  # class 2 is the vessel


def test_touching_instances_and_their_one_prediction_can_be_told_apart(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    label = np.zeros(SHAPE, dtype=np.uint8)
    ids = np.zeros(SHAPE, dtype=np.uint8)
    label[1:5, 1:4, 5] = 2
    ids[1:3, 1:4, 5], ids[3:5, 1:4, 5] = 1, 2
    label[1:5, 6, 5] = 5
    write(paths, label, ids)

    view = build_views(cases(instances=True), "a", models=["m"], paths=paths)[0]

    assert len(np.unique(view.reference)) == 4  # nothing, two cells, a vessel
    assert len(np.unique(view.predictions["m"])) == 3  # nothing, one cell, a vessel
    vessel = view.reference == view.reference.max()
    assert set(view.predictions["m"][vessel]) == {view.reference.max()}


def test_a_missing_prediction_shows_nothing(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    label = np.full(SHAPE, 2, dtype=np.uint8)
    write(paths, label)

    view = build_views(cases(), "a", models=["other"], paths=paths)[0]

    assert not view.predictions["other"].any()
