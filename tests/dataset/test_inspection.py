"""What one case looks like and what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.inspection import EMPTY, Finding, Limits, inspect_case
from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.images.grid import Grid, Orientation
from tests.support.phantoms import write_dataset

LIMITS = Limits(grid_tolerance_mm=0.01, spacing_mm=(0.01, 100.0), empty_is_fault=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path, cases=2, instances=True, ignore=9)
    return tmp_path


def inspect(data: Path, limits: Limits = LIMITS) -> Finding:
    dataset = read_dataset(data)
    return inspect_case(dataset.cases[0], data=data, dataset=dataset, limits=limits)


def relabel(data: Path, array: np.ndarray) -> None:
    file = data / "labelsTr" / "case_00.nii"
    write_label(file, array, read_label(file).grid)


def label_of(data: Path) -> np.ndarray:
    return read_label(data / "labelsTr" / "case_00.nii").array


def test_a_sound_case_has_no_fault_and_counted_voxels(data: Path) -> None:
    found = inspect(data)

    assert found.faults == ()
    assert found.warnings == ()
    assert sum(found.counts.values()) == 24 * 20 * 16
    assert set(found.counts) == {0, 1, 3, 9}


@pytest.mark.parametrize(("shift", "wrong"), [(0.009, False), (0.011, True)])
def test_a_label_apart_by_more_than_the_tolerance_is_a_fault(
    shift: float, wrong: bool, data: Path
) -> None:
    grid = read_label(data / "labelsTr" / "case_00.nii").grid
    affine = grid.affine.copy()
    affine[1, 3] += shift
    moved = Grid(grid.shape, affine, "mm")
    write_label(data / "labelsTr" / "case_00.nii", label_of(data), moved)

    found = "\n".join(inspect(data).faults)
    assert ("corners 0.011 mm apart" in found) == wrong
    assert ("labelsTr/case_00.nii" in found) == wrong


def test_another_shape_is_a_fault(data: Path) -> None:
    file = data / "labelsTr" / "case_00.nii"
    write_label(
        file, label_of(data)[:-1], read_label(file).grid.resampled((23, 20, 16))
    )

    assert "another shape" in inspect(data).faults[0]


def test_strange_values_are_counted_and_named(data: Path) -> None:
    label = label_of(data)
    label[:2, 0, 0] = 5
    relabel(data, label)

    (fault,) = inspect(data).faults
    assert "found 5 (2 voxels)" in fault
    assert "ball 1, core 3, ignore 9" in fault


def test_an_empty_label_is_a_warning_or_a_fault_as_told(data: Path) -> None:
    relabel(data, np.zeros((24, 20, 16), dtype=np.uint8))

    found = inspect(data)
    assert found.faults == ()
    assert EMPTY in found.warnings
    strict = Limits(0.01, (0.01, 100.0), empty_is_fault=True)
    assert "at least one structure, found none" in inspect(data, strict).faults[0]


def test_ignore_everywhere_is_a_fault(data: Path) -> None:
    relabel(data, np.full((24, 20, 16), 9, dtype=np.uint8))

    assert any("found ignore everywhere" in fault for fault in inspect(data).faults)


def test_an_image_that_says_nothing_is_a_fault(data: Path) -> None:
    file = data / "imagesTr" / "case_00_0000.nii"
    flat = np.full((24, 20, 16), 7, dtype=np.int16)
    write_image(file, flat, read_image(file).grid)

    assert "found 7 in every voxel (zero variance)" in inspect(data).faults[0]


def test_an_absurd_spacing_is_a_fault(data: Path) -> None:
    narrow = Limits(0.01, (1.5, 100.0), empty_is_fault=False)

    assert (
        "spacings from 1.5 to 100 mm, found (1, 1, 2)"
        in inspect(data, narrow).faults[0]
    )


def test_a_damaged_file_does_not_hide_the_other_faults(data: Path) -> None:
    file = data / "imagesTr" / "case_00_0000.nii"
    file.write_bytes(file.read_bytes()[:400])
    label = label_of(data)
    label[0, 0, 0] = 5
    relabel(data, label)

    faults = inspect(data).faults
    assert len(faults) == 2
    assert str(file) in faults[0]


def test_instances_in_the_background_are_a_warning(data: Path) -> None:
    file = data / "instancesTr" / "case_00.nii"
    ids = read_label(file)
    array = ids.array.copy()
    array[0, 0, 0] = 7
    write_label(file, array, ids.grid)

    assert inspect(data).warnings == ("1 voxels of instances lie in the background",)


def test_copies_are_known_by_their_voxels(data: Path) -> None:
    dataset = read_dataset(data)
    first, second = (
        inspect_case(case, data=data, dataset=dataset, limits=LIMITS).digest
        for case in dataset.cases
    )
    assert first != second

    file = data / "imagesTr" / "case_00_0000.nii"
    image = read_image(data / "imagesTr" / "case_01_0000.nii")
    write_image(file, image.array[0].astype(np.int16), image.grid)
    assert inspect(data).digest == second
    turn = Orientation((2, 0, 1), (True, False, True))  # stored another way
    grid = image.grid.reoriented(turn)
    write_image(file, np.ascontiguousarray(turn.apply(image.array[0])), grid)
    assert inspect(data).digest == second


def test_another_persons_labels_are_held_to_the_same(data: Path) -> None:
    folder = data / "observers" / "anna"
    grid = read_label(data / "labelsTr" / "case_00.nii").grid
    write_label(folder / "case_00.nii", label_of(data), grid)
    assert inspect(data).faults == ()

    array = label_of(data)
    array[0, 0, 0] = 5
    affine = grid.affine.copy()
    affine[0, 3] += 1
    write_label(folder / "case_00.nii", array, Grid(grid.shape, affine, "mm"))
    found = inspect(data).faults
    assert ["corners 1 mm apart" in fault for fault in found] == [True, False]
    assert "found 5 (1 voxels)" in found[1]
