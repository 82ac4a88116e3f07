"""The raster door: full depth, columns first, nothing damaged let through."""

import io
import random
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segpipe.images.formats import raster
from segpipe.project.errors import DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (24, 20)).astype(np.uint8)  # 24 rows, 20 columns
COLOURS = RANDOM.integers(0, 65536, (24, 20, 3)).astype(np.uint16)


def save(path: Path, array: np.ndarray) -> Path:
    """With Pillow or tifffile, which are not what writes our own files."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        PIL.Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_column_is_i_and_row_is_j(tmp_path: Path, ending: str) -> None:
    image = raster.read_image(save(tmp_path / f"a{ending}", GREY))

    assert image.array.shape == (1, 20, 24, 1)
    assert image.array[0, 7, 3, 0] == GREY[3, 7]
    assert (image.grid.unit, image.grid.spacing) == ("px", (1, 1, 1))


def test_a_given_spacing_is_that_of_columns_and_rows(tmp_path: Path) -> None:
    image = raster.read_image(save(tmp_path / "a.png", GREY), spacing_mm=(0.25, 0.5))

    assert (image.grid.unit, image.grid.spacing) == ("mm", (0.25, 0.5, 1))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bit_colours_keep_their_depth(tmp_path: Path, ending: str) -> None:
    """Pillow alone would cut them to 8 bits in silence."""
    path = tmp_path / f"a{ending}"
    if ending == ".png":
        path.write_bytes(imagecodecs.png_encode(COLOURS))
    else:
        save(path, COLOURS)

    np.testing.assert_array_equal(
        raster.read_image(path).array[..., 0], COLOURS.transpose(2, 1, 0)
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_what_is_written_comes_back(tmp_path: Path, channels: int, ending: str) -> None:
    array = RANDOM.integers(0, 60000, (channels, 9, 7, 1)).astype(np.uint16)

    raster.write_image(tmp_path / f"a{ending}", array)

    np.testing.assert_array_equal(
        raster.read_image(tmp_path / f"a{ending}").array, array
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


@given(
    arrays.arrays(
        np.int32,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(1)),
        elements=st.integers(-(2**31), 2**31 - 1),
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_32_bit_labels_come_back_from_tiff(
    tmp_path: Path, label: np.ndarray
) -> None:
    raster.write_label(tmp_path / "a.tif", label)

    np.testing.assert_array_equal(raster.read_label(tmp_path / "a.tif").array, label)


@pytest.mark.parametrize("shape", [(4, 3, 3), (3, 5, 4), (2, 2, 9)])
def test_a_stack_of_labels_is_not_taken_for_colours(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    label = RANDOM.integers(0, 9, shape).astype(np.int16)

    raster.write_label(tmp_path / "a.tif", label)

    np.testing.assert_array_equal(raster.read_label(tmp_path / "a.tif").array, label)


def test_labels_that_png_cannot_hold_are_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png.*0 to 65535.*-1 to 5.*\.tif"):
        raster.write_label(tmp_path / "a.png", np.array([[[-1], [5]]]))

    assert list(tmp_path.iterdir()) == []


def test_a_palette_is_colours_in_an_image_and_values_in_a_label(tmp_path: Path) -> None:
    indices = (GREY % 3).astype(np.uint8)
    image = PIL.Image.fromarray(indices, mode="P")
    image.putpalette([0, 0, 0, 250, 10, 20, 0, 255, 0])
    image.save(tmp_path / "a.png")

    found = raster.read_image(tmp_path / "a.png").array
    label = raster.read_label(tmp_path / "a.png").array

    assert found[:, indices.T == 1][:, 0].ravel().tolist() == [250, 10, 20]
    np.testing.assert_array_equal(label[..., 0], indices.T)


def test_a_one_bit_mask_is_0_and_1(tmp_path: Path) -> None:
    PIL.Image.fromarray(GREY > 99).save(tmp_path / "a.png")

    label = raster.read_label(tmp_path / "a.png").array

    np.testing.assert_array_equal(label[..., 0], (GREY > 99).T)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_label_in_equal_colours_is_read_and_a_coloured_one_refused(
    tmp_path: Path, channels: int
) -> None:
    same = np.repeat(GREY[..., None] // 100, channels, axis=2)
    if channels in (2, 4):
        same[..., -1] = 255
    other = same.copy()
    other[3, 4, 0] += 7
    imagecodecs.imwrite(tmp_path / "same.png", same)
    imagecodecs.imwrite(tmp_path / "other.png", other)

    label = raster.read_label(tmp_path / "same.png").array

    np.testing.assert_array_equal(label[..., 0], (GREY // 100).T)
    if channels > 2:
        with pytest.raises(DataError, match=r"other\.png.*one label a pixel"):
            raster.read_label(tmp_path / "other.png")


def test_a_jpeg_label_is_refused_because_it_is_lossy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jpg.*without loss.*PNG or TIFF"):
        raster.read_label(save(tmp_path / "a.jpg", GREY))


def test_a_turned_photograph_is_refused_with_the_mend(tmp_path: Path) -> None:
    """Viewers turn it by its EXIF entry, and the label was drawn in one of them."""
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)

    with pytest.raises(DataError, match=r"a\.jpg.*orientation 6.*auto-orient"):
        raster.read_image(tmp_path / "a.jpg")


def test_pages_of_a_tiff_are_slices_and_want_no_planar_spacing(tmp_path: Path) -> None:
    stack = RANDOM.integers(0, 999, (5, 24, 20)).astype(np.uint16)
    save(tmp_path / "a.tif", stack)

    image = raster.read_image(tmp_path / "a.tif")

    np.testing.assert_array_equal(image.array[0], stack.T)
    with pytest.raises(DataError, match=r"a\.tif.*one page.*found 5.*NIfTI"):
        raster.read_image(tmp_path / "a.tif", spacing_mm=(1.0, 1.0))


def test_a_stack_that_lost_its_last_pages_is_refused(tmp_path: Path) -> None:
    """tifffile only logs it, and returns the pages that are left."""
    pages = [PIL.Image.fromarray(GREY) for _ in range(5)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    data = buffer.getvalue()
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    whole.write_bytes(data)

    assert raster.read_image(whole).array.shape == (1, 20, 24, 5)
    for size in range(100, len(data) - 1, 37):
        cut.write_bytes(data[:size])
        with pytest.raises(DataError, match=r"cut\.tif: expected"):
            raster.read_image(cut)


def test_a_thumbnail_beside_the_image_is_let_be(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOURS, photometric="rgb")
        file.write(COLOURS[::2, ::2], photometric="rgb", subfiletype=1)

    assert raster.read_image(tmp_path / "a.tif").array.shape == (3, 20, 24, 1)


def test_two_images_in_one_tiff_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:9])

    with pytest.raises(DataError, match=r"a\.tif.*one image.*found 2"):
        raster.read_image(tmp_path / "a.tif")


def test_an_inverted_tiff_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")

    with pytest.raises(DataError, match=r"a\.tif.*MINISWHITE.*plain grey"):
        raster.read_image(tmp_path / "a.tif")


def test_infinite_pixels_are_refused(tmp_path: Path) -> None:
    array = np.ones((4, 4), np.float64)
    array[1, 1] = 1e300
    save(tmp_path / "a.tif", array)

    with pytest.raises(DataError, match=r"a\.tif.*finite"):
        raster.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "plain.tif", "packed.tif"])
def test_damage_ends_in_a_data_error_and_never_in_a_traceback(
    tmp_path: Path, name: str
) -> None:
    """Cut anywhere, one bit flipped anywhere; checksums of PNG notice each flip."""
    path = tmp_path / name
    if name == "packed.tif":
        tifffile.imwrite(path, COLOURS, photometric="rgb", compression="zlib")
    elif name == "plain.tif":
        tifffile.imwrite(path, COLOURS, photometric="rgb")
    else:
        save(path, (COLOURS >> 8).astype(np.uint8))
    good, data = raster.read_image(path).array, path.read_bytes()
    dice = random.Random(0)
    cuts = [data[: dice.randrange(len(data) * 9 // 10)] for _ in range(40)]
    flips = []
    for _ in range(150):
        changed = bytearray(data)
        changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        flips.append(bytes(changed))
    texts, survivors = [], []
    for damaged in cuts + flips:
        path.write_bytes(damaged)
        try:
            survivors.append(raster.read_image(path).array)
        except DataError as error:
            texts.append(str(error))

    assert len(texts) >= len(cuts)
    assert all(text.startswith(f"{path}: expected") for text in texts)
    if name == "a.png":
        assert all((array == good).all() for array in survivors)
