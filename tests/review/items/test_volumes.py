"""What nibabel reads back: true geometry, exact voxels, and no text."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.review.items.volumes import (
    canonical,
    from_canonical,
    smallest_exact,
    to_canonical,
    windows_of,
    write_images,
    write_masks,
)

LPS = Grid((4, 5, 6), np.diag([-1.0, -2.0, 3.0, 1.0]), "mm")


def test_a_voxel_stays_where_it_is_in_the_world(tmp_path: Path) -> None:
    array = np.zeros((1, 4, 5, 6), np.float32)
    array[0, 1, 2, 3] = 9
    image = Image(to_canonical(array, LPS), canonical(LPS))
    assert write_images(tmp_path, image, missing=()) == ("image.nii.gz",)

    found = nib.load(tmp_path / "image.nii.gz")
    voxels = np.asarray(found.dataobj)
    (place,) = np.argwhere(voxels == 9)
    assert nib.aff2axcodes(found.affine) == ("R", "A", "S")
    assert (found.affine @ [*place, 1])[:3].tolist() == [-1, -4, 9]
    assert voxels.dtype == np.uint8
    back = from_canonical(to_canonical(array[0], LPS), LPS)
    assert (back == array[0]).all()


def test_no_header_tells_anything_and_masks_differ_in_voxels_only(
    tmp_path: Path,
) -> None:
    empty, full = np.zeros((4, 5, 6), np.int16), np.full((4, 5, 6), 7, np.int32)
    write_masks(tmp_path, {"A": empty, "B": full}, canonical(LPS), values=(0, 7))

    a, b = (nib.load(tmp_path / f"{letter}.nii.gz").header for letter in "AB")
    assert bytes(a.binaryblock) == bytes(b.binaryblock)
    for name in ("descrip", "db_name", "aux_file", "intent_name"):
        assert bytes(a[name]).strip(b"\0") == b""
    packed = (tmp_path / "A.nii.gz").read_bytes()
    assert (packed[3], packed[4:8]) == (0, bytes(4))  # no name, no time


def test_a_picture_is_one_file_in_colours_as_it_is_stored(tmp_path: Path) -> None:
    grid = Grid.from_spacing((3, 2, 1), (1.0, 1.0, 1.0), "px")
    array = np.arange(18, dtype=np.float32).reshape(3, 3, 2, 1)
    image = Image(to_canonical(array, grid), canonical(grid))

    assert write_images(tmp_path, image, missing=()) == ("image.nii.gz",)
    found = nib.load(tmp_path / "image.nii.gz")
    voxels = np.asarray(found.dataobj)
    assert nib.aff2axcodes(found.affine)[:2] == ("L", "P")
    assert [voxels[name].tolist() for name in "RGB"] == array.tolist()


def test_each_channel_that_is_there_has_a_file(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    names = write_images(tmp_path, Image(array, canonical(LPS)), missing=(1,))

    assert names == ("image.nii.gz", "image-1.nii.gz")
    found = np.asarray(nib.load(tmp_path / names[1]).dataobj)
    assert (found == array[2]).all()


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 255], "u1"), ([-1, 9], "i2"), ([0, 65535], "u2"), ([0.5, 1], "f4")],
)
def test_voxels_have_the_smallest_exact_type(values: list[float], kind: str) -> None:
    found = smallest_exact(np.array(values))

    assert found.dtype == np.dtype(kind)
    assert found.tolist() == values


def test_only_ct_has_windows() -> None:
    assert ("lung", -1350) in [(one.name, one.low) for one in windows_of(["CT"])]
    assert windows_of(["MR"]) == ()
