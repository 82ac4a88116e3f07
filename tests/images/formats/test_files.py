"""The doors together: which one takes a file, and whole cases through it."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti, raster
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

GRID = Grid.from_spacing((4, 3, 2), (1.0, 2.0, 3.0), "mm")


def case_list(case: Case, **changes: object) -> CaseList:
    values = {
        "format_version": 1,
        "dimensions": 3,
        "unit": "mm",
        "spacing_mm": None,
        "file_ending": ".nii",
        "channels": ("a", "b"),
        "labels": {"background": 0, "ball": 1},
        "ignore": None,
        "cases": (case,),
    }
    return CaseList(**(values | changes))


def case(images: tuple[str, ...], label: str, instances: str | None = None) -> Case:
    return Case(
        name="one",
        patient="one",
        images=images,
        label=label,
        instances=instances,
        shape=(4, 3, 2),
        spacing=(1.0, 2.0, 3.0),
        attributes={},
        warnings=(),
    )


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.b.nii.gz", ".nii.gz"),
        ("a.NII", ".NII"),
        ("ä 1.png", ".png"),
        ("a.tif", ".tif"),
    ],
)
def test_the_ending_says_the_format(name: str, ending: str) -> None:
    assert formats.suffix(Path(name)) == ending


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("IMG0001.dcm", "dcm2niix"),
        ("brain.mgz", "mri_convert"),
        ("brain.hdr", "join"),
        ("cells.czi", "TIFF"),
        ("cells.h5", "segpipe import"),
        ("README", "convert"),
    ],
)
def test_a_foreign_format_is_refused_with_its_own_mend(name: str, mend: str) -> None:
    with pytest.raises(DataError, match=f"(?s){name}: expected.*{mend}"):
        formats.suffix(Path(name))


def test_channels_of_several_files_become_one_image(tmp_path: Path) -> None:
    arrays = [np.full(GRID.shape, value, np.int16) for value in (3, 7)]
    for name, array in zip(("a.nii", "b.nii"), arrays, strict=True):
        nifti.write_image(tmp_path / name, array, GRID)
    nifti.write_label(tmp_path / "l.nii", arrays[0], GRID)
    one = case(("a.nii", "b.nii"), "l.nii", "l.nii")
    cases = case_list(one)

    image = formats.read_case(tmp_path, cases, one)
    instances = formats.read_case_instances(tmp_path, cases, one)

    assert image.array[:, 0, 0, 0].tolist() == [3, 7]
    assert image.grid.spacing == (1, 2, 3)
    assert instances is not None
    assert (instances.array == 3).all()


def test_the_unit_is_that_of_the_data_set_and_not_of_the_format(tmp_path: Path) -> None:
    nifti.write_image(tmp_path / "a.nii", np.zeros(GRID.shape, np.int16), GRID)
    nifti.write_label(tmp_path / "l.nii", np.zeros(GRID.shape, np.int16), GRID)
    one = case(("a.nii",), "l.nii")
    cases = case_list(one, unit="px", channels=("a",))

    assert formats.read_case(tmp_path, cases, one).grid.unit == "px"
    assert formats.read_case_label(tmp_path, cases, one).grid.unit == "px"
    assert formats.read_case_instances(tmp_path, cases, one) is None


def test_the_spacing_of_the_data_set_reaches_its_images(tmp_path: Path) -> None:
    raster.write_image(tmp_path / "a.png", np.zeros((3, 4, 3, 1), np.uint8))
    one = case(("a.png",), "a.png")
    cases = case_list(one, spacing_mm=(0.2, 0.3), dimensions=2, file_ending=".png")

    assert formats.read_case(tmp_path, cases, one).grid.spacing == (0.2, 0.3, 1)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".tif", ".png"])
def test_a_label_map_comes_back_through_every_door(tmp_path: Path, ending: str) -> None:
    array = np.arange(12, dtype=np.int32).reshape(4, 3, 1)
    grid = Grid.from_spacing((4, 3, 1), (1.0, 1.0, 1.0), "mm")

    formats.write_label(tmp_path / f"a{ending}", array, grid)

    found = formats.read_label(tmp_path / f"a{ending}").array
    np.testing.assert_array_equal(found, array)
