"""Folders as labs have them, for the tests of the importer."""

from pathlib import Path

import numpy as np
import SimpleITK

from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.formats.raster import write_image as write_picture
from segpipe.images.formats.raster import write_label as write_drawn
from segpipe.images.grid import Grid

SHAPE = (12, 10, 6)
GRID = Grid.from_spacing(SHAPE, (1.0, 1.0, 2.0), "mm")


def noise(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, shape).astype(np.int16)


def box(
    start: int, stop: int, value: int = 1, shape: tuple[int, int, int] = SHAPE
) -> np.ndarray:
    """Rows of one value along i, from start to before stop."""
    array = np.zeros(shape, np.uint8)
    array[start:stop, 2:8] = value
    return array


def write_nifti(path: Path, array: np.ndarray, *, drawn: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (write_label if drawn else write_image)(path, array, GRID)


def write_png(path: Path, array: np.ndarray, *, drawn: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if drawn:
        write_drawn(path, array)
    else:
        write_picture(path, array[None])


def write_structures(source: Path, cases: tuple[str, ...] = ("s1", "s2")) -> None:
    """A folder a case, as TotalSegmentator and 3D Slicer write: a mask a structure."""
    for seed, case in enumerate(cases):
        write_nifti(source / case / "ct.nii.gz", noise(seed) - 1000, drawn=False)
        inner = source / case / "segmentations"
        write_nifti(inner / "liver.nii.gz", box(1, 4))
        write_nifti(inner / "kidney_left.nii.gz", box(5, 7, 255))
        write_nifti(inner / "kidney_right.nii.gz", box(8, 10))


def write_observers(source: Path) -> None:
    """Eyes of two patients, drawn twice; the second person draws one row less."""
    flat = (*SHAPE[:2], 1)
    for seed, case in enumerate(("1L", "1R", "2L", "2R")):
        write_png(source / f"{case}.png", noise(seed, flat), drawn=False)
        write_png(source / f"{case}_1stHO.png", box(2, 6, shape=flat))
        write_png(source / f"{case}_2ndHO.png", box(2, 5, shape=flat))


def write_slicer(
    path: Path, names: tuple[str, ...], layers: tuple[np.ndarray, ...]
) -> None:
    """A segmentation of 3D Slicer: the names are of the values from 1, each in order.

    With several layers, the first name is in the first layer, the second in the second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.stack([layer.T for layer in layers], axis=-1).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(
        whole if len(layers) > 1 else whole[..., 0], isVector=len(layers) > 1
    )
    image.SetSpacing(GRID.spacing)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for number, name in enumerate(names):
        several = len(layers) > 1
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(
            f"Segment{number}_LabelValue", "1" if several else str(number + 1)
        )
        image.SetMetaData(f"Segment{number}_Layer", str(number if several else 0))
    SimpleITK.WriteImage(image, str(path))
