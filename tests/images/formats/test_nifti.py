"""The NIfTI door: what is written comes back, what is damaged or strange is refused."""

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from segpipe.images.formats import nifti
from segpipe.images.grid import Grid, Orientation
from segpipe.project.errors import DataError

SHAPE = (5, 4, 3)
VOXELS = np.random.default_rng(0).integers(-300, 900, SHAPE).astype(np.int16)
FLIPS = list(itertools.product([False, True], repeat=3))
AXES = list(itertools.permutations(range(3)))


def oblique(
    spacing: tuple[float, float, float], degrees: tuple[float, float, float]
) -> np.ndarray:
    """An affine that float32, as NIfTI stores it, holds exactly."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(spacing)
    matrix[:3, 3] = (-90.5, 126.25, -72)
    return matrix.astype(np.float32).astype(np.float64)


def write(path: Path, array: np.ndarray = VOXELS, affine: np.ndarray | None = None):
    grid = Grid(
        array.shape, np.diag([1, 2, 3, 1.0]) if affine is None else affine, "mm"
    )
    nifti.write_image(path, array, grid)
    return grid


@given(
    st.sampled_from(AXES),
    st.sampled_from(FLIPS),
    st.tuples(*[st.floats(0.01, 20)] * 3),
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.sampled_from([".nii", ".nii.gz"]),
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_voxels_and_affine_come_back_exactly_and_so_does_the_canonical_image(
    tmp_path: Path,
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    spacing: tuple[float, float, float],
    degrees: tuple[float, float, float],
    ending: str,
) -> None:
    """All 48 ways to store a volume, any spacing, any turn (half turns included)."""
    start = Grid(SHAPE, oblique(spacing, degrees), "mm")
    stored = Orientation(axes, flips)
    grid = start.reoriented(stored)
    grid = Grid(grid.shape, grid.affine.astype(np.float32).astype(np.float64), "mm")
    path = tmp_path / f"image{ending}"

    nifti.write_image(path, np.ascontiguousarray(stored.apply(VOXELS)), grid)
    image = nifti.read_image(path)
    change = image.grid.to_canonical
    canonical = change.apply(image.array)

    assert image.grid.affine.tobytes() == grid.affine.tobytes()
    np.testing.assert_array_equal(image.array[0], stored.apply(VOXELS))
    np.testing.assert_array_equal(change.undo(canonical), image.array)
    assert image.grid.reoriented(change).matches(
        start.reoriented(start.to_canonical), tolerance=1e-4
    )


def test_nibabel_reads_the_same_voxels_and_affine(tmp_path: Path) -> None:
    grid = write(tmp_path / "a.nii.gz", affine=oblique((0.7, 0.7, 5), (4, 8, 12)))

    peer = nib.load(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(peer.affine, grid.affine)
    np.testing.assert_array_equal(np.asanyarray(peer.dataobj), VOXELS)
    assert peer.header.get_xyzt_units()[0] == "mm"


def test_the_same_voxels_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write(tmp_path / name)

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "a.nii.gz",
        "b.nii.gz",
    ]


def test_a_slightly_sheared_grid_is_written_so_that_it_can_be_read(
    tmp_path: Path,
) -> None:
    """A qform holds no shear: written beside the sform it would contradict it."""
    matrix = np.diag([1, 1, 1, 1.0])
    matrix[0, 1] = np.float32(0.005)
    array = np.zeros((200, 200, 2), np.uint8)
    array[0, 0, 0] = 1

    write(tmp_path / "a.nii", array, matrix)

    np.testing.assert_array_equal(
        nifti.read_image(tmp_path / "a.nii").grid.affine, matrix
    )


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001)])
def test_metres_and_microns_become_millimetres(
    tmp_path: Path, unit: str, factor: float
) -> None:
    image = nib.Nifti1Image(VOXELS, np.diag([0.25, 0.5, 2, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")

    found = nifti.read_image(tmp_path / "a.nii").grid

    assert found.spacing == pytest.approx((0.25 * factor, 0.5 * factor, 2 * factor))


def test_microscopic_voxels_are_not_taken_for_a_flat_affine(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", affine=np.diag([5e-5, 5e-5, 1e-4, 1]))

    assert nifti.read_image(tmp_path / "a.nii").grid.spacing == pytest.approx(
        (5e-5, 5e-5, 1e-4)
    )


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nib.save(image, tmp_path / "a.nii")
    raw = np.asarray(nib.load(tmp_path / "a.nii").dataobj.get_unscaled())

    found = nifti.read_image(tmp_path / "a.nii").array[0]

    np.testing.assert_allclose(found, raw * 0.5 - 10)


def test_rgb_voxels_become_three_channels(tmp_path: Path) -> None:
    colours = np.arange(60, dtype=np.uint8).reshape(5, 4, 1, 3)
    voxels = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(voxels[..., 0], np.eye(4)), tmp_path / "a.nii")

    found = nifti.read_image(tmp_path / "a.nii").array

    np.testing.assert_array_equal(found, np.moveaxis(colours, -1, 0))


def test_a_fourth_axis_is_channels_only_where_that_is_asked_for(tmp_path: Path) -> None:
    array = np.arange(120, dtype=np.int16).reshape(5, 4, 3, 2)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")

    channels = nifti.read_channels(tmp_path / "a.nii")

    np.testing.assert_array_equal(channels.array, np.moveaxis(array, 3, 0))
    with pytest.raises(DataError, match=r"a\.nii.*\(5, 4, 3, 2\).*file of its own"):
        nifti.read_image(tmp_path / "a.nii")


def test_colours_are_read_as_channels_whatever_the_fourth_axis(tmp_path: Path) -> None:
    """The importer of the MSD reads all files as if channels were asked for."""
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 1, 3), np.uint8)
    rgb = values.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))[..., 0]
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")

    found = nifti.read_channels(tmp_path / "a.nii").array

    assert (found == values[:, :, :, 0].transpose(3, 0, 1, 2)).all()


def test_labels_saved_as_floats_are_whole_again(tmp_path: Path) -> None:
    labels = np.array([[[0, 1.0000001, 1.9999999]]], np.float32)
    write(tmp_path / "a.nii", labels)

    found = nifti.read_label(tmp_path / "a.nii")

    assert found.array.tolist() == [[[0, 1, 2]]]
    assert found.array.dtype == np.int32


@pytest.mark.parametrize("value", [0.5, 1.4, np.nan, np.inf])
def test_labels_that_are_not_whole_are_refused(tmp_path: Path, value: float) -> None:
    write(tmp_path / "a.nii", np.array([[[0, 1, value]]], np.float64))

    with pytest.raises(DataError, match=rf"a\.nii.*whole labels, found {value:g}"):
        nifti.read_label(tmp_path / "a.nii")


def test_labels_beyond_32_bits_are_refused_and_not_wrapped_round(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.nii", np.array([[[0, 2**32 + 1]]], np.int64))

    with pytest.raises(DataError, match=r"a\.nii.*found 0 to 4294967297"):
        nifti.read_label(tmp_path / "a.nii")


def test_a_value_beyond_float32_is_refused_as_infinite(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", np.array([[[0, 1, 1e300]]]))

    with pytest.raises(DataError, match="1 NaN or infinite"):
        nifti.read_image(tmp_path / "a.nii")


def test_an_opened_image_has_the_grid_of_the_header(tmp_path: Path) -> None:
    grid = write(tmp_path / "a.nii.gz")

    found = nifti.open_image(tmp_path / "a.nii.gz").grid

    assert found.shape == SHAPE
    np.testing.assert_array_equal(found.affine, grid.affine)


def test_a_damaged_header_is_named_when_the_image_is_opened(tmp_path: Path) -> None:
    data = gzip.compress(bytes(400))
    (tmp_path / "a.nii.gz").write_bytes(data[: len(data) // 2])

    with pytest.raises(DataError, match=r"a\.nii\.gz.*whole gzip file.*fetch it again"):
        nifti.open_image(tmp_path / "a.nii.gz")


def test_header_extensions_are_no_obstacle(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, np.eye(4))
    image.header.extensions.append(
        nib.nifti1.Nifti1Extension("comment", b"protocol " * 2000)
    )
    nib.save(image, tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(
        nifti.read_image(tmp_path / "a.nii.gz").array[0], VOXELS
    )
    assert nifti.open_image(tmp_path / "a.nii.gz").grid.shape == SHAPE


def test_no_flipped_bit_ends_in_a_traceback(tmp_path: Path) -> None:
    """Each of 352 header bytes in turn: a grid and voxels, or a DataError."""
    write(tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    broken = tmp_path / "broken.nii"
    texts = []
    for place in range(352):
        changed = bytearray(data)
        changed[place] ^= 0x40
        broken.write_bytes(changed)
        try:
            nifti.read_image(broken)
        except DataError as error:
            texts.append(str(error))

    assert len(texts) > 20
    assert all(text.startswith(f"{broken}: expected") for text in texts)


# Files that are read slice by slice.

STREAMED = np.random.default_rng(1).integers(0, 120, (6, 5, 37))


@pytest.fixture
def slices_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, a file is read as a large one is."""
    monkeypatch.setattr(nifti, "LARGEST_WHOLE", 0)


def streamed(path: Path) -> np.ndarray:
    return np.concatenate(list(nifti.open_image(path).read()), axis=3)


def copy(path: Path, goal: Path, dtype: type) -> None:
    """Slices in, slices out."""
    source = nifti.open_image(path)
    parts = (part[0] for part in source.read())
    nifti.write_slices(goal, source.grid, np.dtype(dtype), parts)


@pytest.mark.usefixtures("slices_only")
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4", ">f4", "<f8", "<u2"])
@pytest.mark.parametrize("scaling", [(1, 0), (0.5, -10), (3, 0), (1, 7)])
def test_slices_together_are_the_voxels_that_nibabel_reads(
    tmp_path: Path, ending: str, kind, dtype: str, scaling: tuple[float, float]
) -> None:
    """The file has either byte order, scaled or not, and a header extension."""
    header = kind.header_class(endianness="<" if dtype[0] == "u" else dtype[0])
    header.set_data_dtype(dtype)
    image = kind(STREAMED.astype(dtype), oblique((1, 2, 3), (5, 6, 7)), header)
    image.header.set_slope_inter(*scaling)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a" * 99))
    path = tmp_path / f"a{ending}"
    nib.save(image, path)
    peer = np.asanyarray(nib.load(path).dataobj)

    source = nifti.open_image(path)
    found = np.concatenate(list(source.read()), axis=3)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], peer.astype(np.float32))
    np.testing.assert_array_equal(found, nifti.read_image(path).array)
    np.testing.assert_array_equal(found, streamed(path))  # it is read anew
    assert source.grid.matches(nifti.open_image(path).grid, tolerance=0.0)
    np.testing.assert_allclose(found[0], STREAMED * scaling[0] + scaling[1])


@pytest.mark.usefixtures("slices_only")
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_large_file_that_is_cut_off_gives_no_file(
    tmp_path: Path, ending: str
) -> None:
    path, goal = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    write(path, STREAMED.astype(np.float32))
    whole = path.read_bytes()

    for size in (len(whole) // 2, len(whole) - 300, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=rf"a\{ending}: expected.*fetch it again"):
            copy(path, goal, np.float32)
        assert not goal.exists()

    path.write_bytes(whole)
    copy(path, goal, np.float32)
    assert goal.read_bytes() == whole
    assert sorted(tmp_path.iterdir()) == [path, goal]


@pytest.mark.usefixtures("slices_only")
def test_a_wrong_checksum_is_found_at_the_end_of_the_slices(tmp_path: Path) -> None:
    path, goal = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write(path, STREAMED.astype(np.int16))
    for back in (8, 1, 200):  # checksum, length, voxels
        data = bytearray(path.read_bytes())
        data[-back] ^= 1
        (tmp_path / "c.nii.gz").write_bytes(data)

        with pytest.raises(DataError, match=r"c\.nii\.gz.*whole gzip file"):
            copy(tmp_path / "c.nii.gz", goal, np.int16)
        assert not goal.exists()


@pytest.mark.usefixtures("slices_only")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_slice_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    array = STREAMED.astype(np.float32)
    array[2, 3, 33] = value
    write(tmp_path / "a.nii", array)

    with pytest.raises(DataError, match=r"a\.nii: expected finite voxels, found 1"):
        streamed(tmp_path / "a.nii")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_slices_written_one_by_one_give_the_bytes_of_the_whole(
    tmp_path: Path, ending: str
) -> None:
    array = STREAMED.astype(np.uint8)
    grid = write(tmp_path / f"whole{ending}", array)

    nifti.write_slices(
        tmp_path / "new" / f"a{ending}",
        grid,
        array.dtype,
        (array[..., k : k + 5] for k in range(0, 37, 5)),
    )

    assert (tmp_path / "new" / f"a{ending}").read_bytes() == (
        tmp_path / f"whole{ending}"
    ).read_bytes()
