"""The files of one case, in the layout of the data folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.images.formats.raster import read_image as read_png
from segpipe.images.formats.raster import read_label as read_png_label
from segpipe.images.formats.raster import write_image as write_png
from segpipe.images.formats.raster import write_label as write_png_label
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.finding.sources import RawCase
from segpipe.tools.importing.writing.cases import write_case

GRID = Grid.from_spacing((4, 5, 6), (1.0, 1.0, 2.0), "mm")
NIFTI = Conversion(
    options=ImportOptions(),
    ending=".nii.gz",
    channels=("a",),
    labels={"background": 0, "liver": 4},
    ignore=None,
    spacing_mm=None,
    unit="mm",
    keep_alpha=True,
)
PNG = replace(NIFTI, ending=".png", unit="px", channels=("r", "g", "b"))


def volume(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (4, 5, 6)).astype(np.int16)


def test_a_nifti_file_is_taken_over_byte_by_byte(tmp_path: Path) -> None:
    image, label = tmp_path / "x.nii.gz", tmp_path / "y.nii.gz"
    write_image(image, volume(), GRID)
    write_label(label, (volume() > 500).astype(np.uint8) * 4, GRID)
    write_case(RawCase("x", (image,), label), NIFTI, tmp_path / "data")

    copy = tmp_path / "data" / "imagesTr" / "x_0000.nii.gz"
    assert copy.read_bytes() == image.read_bytes()
    found = read_label(tmp_path / "data" / "labelsTr" / "x.nii.gz")
    assert np.array_equal(found.array, (volume() > 500) * 4)
    assert found.grid.matches(GRID, tolerance=1e-6)


def test_two_files_are_two_channels(tmp_path: Path) -> None:
    files = tuple(tmp_path / name for name in ("t1.nii.gz", "t2.nii.gz"))
    for seed, file in enumerate(files):
        write_image(file, volume(seed), GRID)
    label = tmp_path / "l.nii.gz"
    write_label(label, np.zeros((4, 5, 6), np.uint8), GRID)
    both = replace(NIFTI, channels=("T1", "T2"))
    write_case(RawCase("p", files, label), both, tmp_path / "data")

    for number in (0, 1):
        file = tmp_path / "data" / "imagesTr" / f"p_000{number}.nii.gz"
        assert np.array_equal(read_image(file).array[0], volume(number))
    with pytest.raises(DataError, match=r"expected 1 channels .*found 2"):
        write_case(RawCase("p", files, label), NIFTI, tmp_path / "other")


def test_instance_ids_become_a_structure_and_ids(tmp_path: Path) -> None:
    ids = np.zeros((4, 5, 6), dtype=np.int32)
    ids[0], ids[1], ids[2] = 300, 7, -1
    image, label = tmp_path / "x.nii.gz", tmp_path / "y.nii.gz"
    write_image(image, volume(), GRID)
    write_label(label, ids, GRID)
    how = replace(NIFTI, options=ImportOptions(instances=True), ignore=-1)
    write_case(RawCase("x", (image,), label), how, tmp_path / "data")

    structure = read_label(tmp_path / "data" / "labelsTr" / "x.nii.gz").array
    kept = read_label(tmp_path / "data" / "instancesTr" / "x.nii.gz").array
    assert structure[:, 0, 0].tolist() == [4, 4, -1, 0]
    assert kept[:, 0, 0].tolist() == [300, 7, 0, 0]


def test_colours_stay_one_file_of_channels(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (3, 6, 5, 1)).astype(np.uint8)
    image, label = tmp_path / "x.png", tmp_path / "y.png"
    write_png(image, colours)
    write_png_label(label, np.zeros((6, 5, 1), np.uint8))
    write_case(RawCase("x", (image,), label), PNG, tmp_path / "data")

    found = read_png(tmp_path / "data" / "imagesTr" / "x_0000.png", spacing_mm=None)
    assert np.array_equal(found.array, colours)
    drawn = read_png_label(tmp_path / "data" / "labelsTr" / "x.png", spacing_mm=None)
    assert drawn.array.shape == (6, 5, 1)


def test_a_case_in_another_unit_than_the_first_is_refused(tmp_path: Path) -> None:
    image, label = tmp_path / "x.nii.gz", tmp_path / "y.nii.gz"
    write_image(image, volume(), GRID)
    write_label(label, volume(), GRID)

    with pytest.raises(DataError, match="expected the unit px as in the first"):
        write_case(
            RawCase("x", (image,), label), replace(NIFTI, unit="px"), tmp_path / "data"
        )


def test_a_mask_of_half_the_resolution_is_not_put_into_a_corner(tmp_path: Path) -> None:
    """Without millimetres nothing says where it lies; verify refuses its size."""
    write_png(tmp_path / "a.png", volume()[:3, :, :, None].astype(np.uint8))
    write_png_label(tmp_path / "b.png", np.ones((2, 2, 1), np.int16) * 4)
    case = RawCase("a", (tmp_path / "a.png",), tmp_path / "b.png")
    (tmp_path / "data" / "labelsTr").mkdir(parents=True)
    (tmp_path / "data" / "imagesTr").mkdir()

    write_case(case, PNG, tmp_path / "data", None)

    written = read_png_label(tmp_path / "data" / "labelsTr" / "a.png")
    assert written.grid.shape == (2, 2, 1)
