"""The name of a file decides which format reads and writes it."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.files import read_label, suffix_of, write_label
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError


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
    assert suffix_of(Path(name)) == ending


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
        suffix_of(Path(name))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".tif", ".png"])
def test_a_label_map_comes_back_through_every_door(tmp_path: Path, ending: str) -> None:
    array = np.arange(12, dtype=np.int32).reshape(4, 3, 1)
    grid = Grid.from_spacing((4, 3, 1), (1.0, 1.0, 1.0), "mm")

    write_label(tmp_path / f"a{ending}", array, grid)

    found = read_label(tmp_path / f"a{ending}").array
    np.testing.assert_array_equal(found, array)
