"""NRRD and MetaImage: the voxels and places of a NIfTI; damage is never filled up."""

import gzip
import itertools
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from segpipe.images.formats import itk, nifti
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

SHAPE = (9, 7, 5)
VOXELS = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
ENDINGS = [".nrrd", ".nhdr", ".mha", ".mhd"]
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
DimSize = 9 7 5
ElementType = MET_SHORT
"""
NRRD = """NRRD0004
type: short
dimension: 3
sizes: 9 7 5
endian: little
"""
DIRECTIONS = "space directions: (1,0,0) (0,2,0) (0,0,3)\n"
RAW = VOXELS.tobytes(order="F")


def oblique() -> np.ndarray:
    """An affine that float32, as NIfTI stores it, holds exactly."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", (20, -35, 110), degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag((0.7, 1.3, 4.0)) @ np.diag((1, -1, 1))
    matrix[:3, 3] = (-90.5, 126.25, -72)
    return matrix.astype(np.float32).astype(np.float64)


def convert(source: Path, goal: Path, *, compressed: bool) -> None:
    """With SimpleITK alone: nothing of ours stands between the two files."""
    image = SimpleITK.ReadImage(str(source))
    SimpleITK.WriteImage(image, str(goal), useCompression=compressed)


def write(path: Path, *, compressed: bool) -> Path:
    """A file of VOXELS; where its packed or raw voxels are."""
    nib.save(nib.Nifti1Image(VOXELS, oblique()), path.parent / "a.nii")
    convert(path.parent / "a.nii", path, compressed=compressed)
    if path.suffix in (".nrrd", ".mha"):
        return path
    return next(
        file
        for file in path.parent.iterdir()
        if file.suffix in (".raw", ".zraw", ".gz") and file.stem.startswith(path.stem)
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_lie_where_nibabel_says_that_they_lie(
    tmp_path: Path, ending: str, compressed: bool
) -> None:
    path = tmp_path / f"b{ending}"
    write(path, compressed=compressed)

    image, label = itk.read_image(path), itk.read_label(path)

    np.testing.assert_array_equal(image.array[0], VOXELS)
    np.testing.assert_array_equal(label.array, VOXELS)
    for grid in (image.grid, label.grid):
        assert grid.matches(Grid(SHAPE, oblique(), "mm"), tolerance=1e-4)
        assert grid.matches(nifti.open_image(tmp_path / "a.nii").grid, tolerance=1e-4)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_label_map_comes_back_and_means_the_same_to_nibabel(
    tmp_path: Path, ending: str
) -> None:
    """Stored along any axes, the mirrored ones too."""
    labels = (VOXELS % 5).astype(np.int16)
    start = Grid(SHAPE, oblique(), "mm")
    for axes, flips in itertools.product(
        itertools.permutations(range(3)), itertools.product([1, -1], repeat=3)
    ):
        change = np.eye(4)[[*axes, 3]].T * [*flips, 1]
        grid = Grid(
            tuple(SHAPE[axis] for axis in axes), start.affine @ change, start.unit
        )
        array = labels.transpose(axes)
        path = tmp_path / f"b{ending}"

        itk.write_label(path, array, grid)
        convert(path, tmp_path / "b.nii.gz", compressed=True)
        found, peer = itk.read_label(path), nib.load(tmp_path / "b.nii.gz")

        np.testing.assert_array_equal(found.array, array)
        np.testing.assert_array_equal(np.asanyarray(peer.dataobj), array)
        assert found.grid.matches(grid, tolerance=1e-4)
        assert found.grid.matches(
            Grid(grid.shape, peer.affine, grid.unit), tolerance=1e-4
        )
        assert not list(tmp_path.glob(".part*"))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_components_of_a_voxel_become_channels(tmp_path: Path, ending: str) -> None:
    array = np.random.default_rng(1).random((2, *SHAPE)).astype(np.float32)
    image = SimpleITK.GetImageFromArray(array.transpose(3, 2, 1, 0), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / f"a{ending}"))

    found = itk.read_image(tmp_path / f"a{ending}")

    np.testing.assert_array_equal(found.array, array)
    with pytest.raises(DataError, match="one label a voxel, found 2 components"):
        itk.read_label(tmp_path / f"a{ending}")


def test_a_plane_gets_one_slice(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(VOXELS[:, :, 0].T)
    image.SetSpacing((0.5, 0.25))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))

    found = itk.read_image(tmp_path / "a.mha")

    np.testing.assert_array_equal(found.array, VOXELS[None, :, :, :1])
    assert found.grid.spacing == (0.5, 0.25, 1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_cut_off_is_refused_and_never_filled_up(
    tmp_path: Path, ending: str, compressed: bool
) -> None:
    path = tmp_path / f"b{ending}"
    voxels = write(path, compressed=compressed)
    whole = voxels.read_bytes()
    start = 0 if voxels != path else len(whole) - 200
    # The last 8 bytes of gzip are its checksum, not voxels.
    end = len(whole) - (10 if compressed else 1)

    for size in (start, (start + end) // 2, end):
        voxels.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"b\{ending}.*(fetch|write)"):
            itk.read_image(path)

    voxels.write_bytes(whole)
    np.testing.assert_array_equal(itk.read_image(path).array[0], VOXELS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_flipped_bit_in_packed_voxels_never_gives_other_voxels(
    tmp_path: Path, ending: str
) -> None:
    """SimpleITK prints "Uncompress failed" and goes on with what it has."""
    path = tmp_path / f"b{ending}"
    voxels = write(path, compressed=True)
    whole = voxels.read_bytes()
    refused = 0

    for back in range(9, 240, 10):
        changed = bytearray(whole)
        changed[-back] ^= 0x10
        voxels.write_bytes(changed)
        try:
            np.testing.assert_array_equal(itk.read_image(path).array[0], VOXELS)
        except DataError:
            refused += 1

    assert refused >= 23  # the last byte has a few bits that mean nothing


@pytest.mark.parametrize("ending", [".nrrd", ".mhd"])
def test_missing_voxels_beside_the_header_are_refused(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"b{ending.replace('nrrd', 'nhdr')}"
    write(path, compressed=True).unlink()

    with pytest.raises(DataError, match="expected a whole image"):
        itk.read_image(path)


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (zlib.compress(RAW), None),  # SimpleITK reads from a wrong place
        (zlib.compress(RAW)[:-30], None),
        (zlib.compress(RAW)[:-30], len(zlib.compress(RAW)) - 30),
        (zlib.compress(RAW[:-2]), len(zlib.compress(RAW[:-2]))),
    ],
)
def test_metaimage_data_that_do_not_unpack_to_all_voxels_are_refused(
    tmp_path: Path, packed: bytes, size: int | None
) -> None:
    header = META + "ElementSpacing = 1 2 3\nCompressedData = True\n"
    if size is not None:
        header += f"CompressedDataSize = {size}\n"
    path = tmp_path / "a.mha"
    path.write_bytes(header.encode() + b"ElementDataFile = LOCAL\n" + packed)

    with pytest.raises(DataError, match=r"a\.mha.*fetch it"):
        itk.read_image(path)


def test_headers_written_by_hand_are_read(tmp_path: Path) -> None:
    """What the next test takes away is enough while it is there."""
    packed = zlib.compress(RAW)
    meta = META + "ElementSpacing = 1 2 3\n"
    size = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
    files = {
        "a.mha": (meta + "ElementDataFile = LOCAL\n").encode() + RAW,
        "b.mha": (meta + size + "ElementDataFile = LOCAL\n").encode() + packed,
        "c.mhd": (meta + "HeaderSize = 4\nElementDataFile = c.raw\n").encode(),
        "c.raw": b"here" + RAW,
        "a.nrrd": (NRRD + f"space: LPS\n{DIRECTIONS}encoding: gzip\n\n").encode()
        + gzip.compress(RAW),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    for name in files.keys() - {"c.raw"}:
        found = itk.read_image(tmp_path / name)

        np.testing.assert_array_equal(found.array[0], VOXELS, err_msg=name)
        np.testing.assert_array_equal(found.grid.affine, np.diag([-1, -2, 3, 1]))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mha", META + "ElementDataFile = LOCAL\n"),
        (  # turned, but of what size?
            "a.mha",
            META + "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementDataFile = LOCAL\n",
        ),
        ("a.nrrd", NRRD + "encoding: raw\n\n"),
        ("a.nrrd", NRRD + "spacings: 1 2 3\nencoding: raw\n\n"),
        ("a.nrrd", NRRD + "space: left-posterior-superior\nencoding: raw\n\n"),
    ],
)
def test_a_header_without_geometry_is_refused(
    tmp_path: Path, name: str, header: str
) -> None:
    """SimpleITK would make up a spacing of 1 mm."""
    (tmp_path / name).write_bytes(header.encode() + RAW)

    with pytest.raises(DataError, match=r"expected a header with the geometry"):
        itk.read_image(tmp_path / name)


def test_what_is_no_image_at_all_is_refused_with_its_name(tmp_path: Path) -> None:
    for name in ("a.nrrd", "a.mha", "a.mhd", "a.nhdr"):
        for data in (b"", b"\0" * 500, b"NRRD0004\n", META.encode()):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(DataError, match=name.replace(".", r"\.")):
                itk.read_image(tmp_path / name)
    with pytest.raises(DataError, match="found none"):
        itk.read_image(tmp_path / "nowhere.mha")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    array = np.full((3, 4, 5), value, np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / "a.nrrd"))

    with pytest.raises(DataError, match=r"a\.nrrd: expected finite voxels"):
        itk.read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.mhd", "1.2.3.mhd"])
def test_a_header_and_its_voxels_are_named_alike_and_move_together(
    tmp_path: Path, name: str
) -> None:
    """As SimpleITK names them: nothing hidden stays behind or is left behind."""
    path = tmp_path / "x" / name
    itk.write_label(path, VOXELS, Grid(SHAPE, np.eye(4), "mm"))
    itk.write_label(path, VOXELS, Grid(SHAPE, np.eye(4), "mm"))

    assert {file.name for file in path.parent.iterdir()} == {
        name,
        name.replace(".mhd", ".zraw"),
    }
    for file in itk.files_of(path):
        file.rename(tmp_path / file.name)
    assert (itk.read_label(tmp_path / name).array == VOXELS).all()


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.mhd", "ElementDataFile = LOCAL\nb0.raw\n", []),
        ("a.mhd", "ElementDataFile = b0.raw\n", ["b0.raw"]),
        ("a.mhd", "ElementDataFile = sub/c.raw\r\n", ["sub/c.raw"]),
        ("a.mhd", "ElementDataFile = LIST\nb0.raw\nb1.raw\n", ["b0.raw", "b1.raw"]),
        ("a.mhd", "ElementDataFile = b%d.raw 0 2 2\n", ["b0.raw", "b2.raw"]),
        ("a.mhd", "ElementDataFile = b%02d.raw 1 1 1\n", ["b01.raw"]),
        ("a.nhdr", "NRRD0004\ndata file: b0.raw\n\n", ["b0.raw"]),
        ("a.nhdr", "NRRD0004\ndatafile: ./b0.raw\n", ["b0.raw"]),
        ("a.nhdr", "NRRD0004\ndata file: LIST\nb1.raw\nb2.raw\n", ["b1.raw", "b2.raw"]),
        ("a.nhdr", "NRRD0004\ndata file: b%d.raw 0 1 1\n", ["b0.raw", "b1.raw"]),
        ("a.nrrd", "NRRD0004\ntype: short\n\ndata file: b0.raw\n", []),
        ("a.mhd", "ElementDataFile = gone.raw\n", []),
        ("a.mhd", "ElementDataFile = \0\n", []),
        ("a.mhd", "", []),
    ],
)
def test_the_files_of_voxels_are_those_that_the_header_names(
    tmp_path: Path, name: str, head: str, expected: list[str]
) -> None:
    (tmp_path / "sub").mkdir()
    for other in ("b0.raw", "b1.raw", "b2.raw", "b01.raw", "sub/c.raw"):
        (tmp_path / other).write_bytes(b"x")
    (tmp_path / name).write_bytes(head.encode())

    found = itk.files_of(tmp_path / name)

    assert found == (tmp_path / name, *(tmp_path / other for other in expected))
