"""Volumes: the image and the masks of an item, as a browser shows them.

All files of an item have one grid, in 3-D turned to R, A, S. Their headers are made
anew: no name, date or text of the source is in them. Masks have one type of voxels, so
that nothing but their voxels differs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer, Shaped

from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.review.dossier import Letter, Window, image_name, mask_name

RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])  # a type of NIfTI's
WHOLE = (np.uint8, np.int16, np.uint16, np.int32)  # types of whole numbers, in turn
# Usual windows of CT in Hounsfield units: level minus and plus half of the width.
CT = (
    Window(name="soft tissue", low=-160, high=240),
    Window(name="lung", low=-1350, high=150),
    Window(name="bone", low=-500, high=1300),
    Window(name="brain", low=0, high=80),
)


def to_canonical(
    array: Shaped[np.ndarray, "*lead i j k"], grid: Grid
) -> Shaped[np.ndarray, "*lead _ _ _"]:
    """The voxels with i, j, k closest to R, A, S, or as stored in 2-D."""
    if is_flat(grid):
        return array
    return np.ascontiguousarray(grid.to_canonical.apply(array))


def from_canonical(
    array: Shaped[np.ndarray, "i j k"], grid: Grid
) -> Shaped[np.ndarray, "_ _ _"]:
    """The inverse of ``to_canonical``."""
    if is_flat(grid):
        return array
    return np.ascontiguousarray(grid.to_canonical.undo(array))


def canonical(grid: Grid) -> Grid:
    """The grid of ``to_canonical``; the voxels of a volume stay where they are.

    A 2-D image gets axes along which columns run to the left and rows to the back: a
    viewer in radiological convention then shows it as it is stored.
    """
    if not is_flat(grid):
        return grid.reoriented(grid.to_canonical)
    i, j, k = grid.spacing
    return Grid(grid.shape, np.diag([-i, -j, k, 1.0]), grid.unit)


def is_flat(grid: Grid) -> bool:
    """Whether it is the grid of a 2-D image."""
    return grid.shape[2] == 1


def windows_of(channels: Sequence[str]) -> tuple[Window, ...]:
    """Ranges of intensities that are usual for the first channel."""
    return CT if channels and channels[0].upper() == "CT" else ()


def write_images(
    folder: Path, image: Image, *, missing: Sequence[int]
) -> tuple[str, ...]:
    """Write a file for each channel that there is; a colour image is one file.

    Args:
        folder: Folder of the item.
        image: The image on the canonical grid.
        missing: Numbers of the channels that the case lacks.

    Returns:
        Names of the files.
    """
    array, grid = image.array, image.grid
    if is_colour(image):
        _write_colours(folder / image_name(0), image)
        return (image_name(0),)
    there = [channel for n, channel in enumerate(array) if n not in set(missing)]
    names = tuple(map(image_name, range(len(there))))
    for name, channel in zip(names, there, strict=True):
        write_image(folder / name, smallest_exact(channel), grid)
    return names


def write_previous(path: Path, image: Image, *, source: Path, flat: bool) -> None:
    """Write the image of a previous study, as those of the channels are written.

    Args:
        path: The file to write.
        image: The image on its own canonical grid.
        source: The file that it was read from, for errors.
        flat: Whether the image beside it is 2-D.

    Raises:
        DataError: If it has several channels that are no colours, or is no image of the
            same number of dimensions.
    """
    if is_flat(image.grid) != flat:
        two, three = ("one", "several") if flat else ("several", "one")
        raise DataError(
            f"{source}: expected {two} slices, as the image of the case has, found "
            f"{three}; give a study of the same kind"
        )
    if is_colour(image):
        _write_colours(path, image)
    elif len(image.array) == 1:
        write_image(path, smallest_exact(image.array[0]), image.grid)
    else:
        raise DataError(
            f"{source}: expected one channel, found {len(image.array)}; give the "
            "channel that is to be shown"
        )


def _write_colours(path: Path, image: Image) -> None:
    pixels = np.empty(image.grid.shape, RGB)
    for name, channel in zip("RGB", image.array, strict=True):
        pixels[name] = channel
    write_image(path, pixels, image.grid)


def is_colour(image: Image) -> bool:
    """Whether three channels of a 2-D image are red, green and blue in 8 bits."""
    array = image.array
    flat = len(array) == 3 and is_flat(image.grid)
    return flat and bool(((array >= 0) & (array <= 255) & (array % 1 == 0)).all())


def write_masks(
    folder: Path,
    masks: Mapping[Letter, Integer[np.ndarray, "i j k"]],
    grid: Grid,
    *,
    values: Sequence[int],
) -> None:
    """Write the mask of each letter, on the grid of the image.

    Args:
        folder: Folder of the item.
        masks: Label maps on the canonical grid.
        grid: The canonical grid.
        values: All values that a mask of any item may have.
    """
    kind = smallest_exact(np.array(values)).dtype
    for letter, mask in masks.items():
        write_label(folder / mask_name(letter), mask.astype(kind), grid)


def smallest_exact(array: Shaped[np.ndarray, "*shape"]) -> np.ndarray:
    """The same numbers in the smallest usual type that holds them all exactly."""
    if array.size and (array == np.rint(array)).all():
        low, high = array.min(), array.max()
        for kind in WHOLE:
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return array.astype(kind)
    return array.astype(np.float32)
