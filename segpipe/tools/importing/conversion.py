"""Conversion: what becomes of images and label maps when they are imported."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segpipe.dataset.description import NIFTI
from segpipe.images.formats import nifti
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.documents import Unit
from segpipe.tools.importing import hdf5


@dataclass(frozen=True)
class ImportOptions:
    """What the folders do not say themselves.

    Attributes:
        images: Folder of images inside the source.
        labels: Folder of label maps inside the source.
        channel_suffixes: Endings of the stems that name the channels.
        label_suffix: Ending of the label maps' stems.
        channels: Names of the channels.
        structures: Structure name to value; empty for all values that are found.
        ignore: The value that means *not annotated*.
        instances: Whether the label maps are instance ids of one structure.
        spacing_mm: Columns, rows (and slices) of files that carry no spacing.
        grey: Whether images whose colours are all equal become one channel.
        image_key: Data set of the image in HDF5 files.
        label_key: Data set of the label map in HDF5 files.
        patients: CSV file with the columns case, patient and free ones.
        replace: Whether data that are there are given up.
        add: Whether the cases join the data that are there.
    """

    images: str | None = None
    labels: str | None = None
    channel_suffixes: tuple[str, ...] = ()
    label_suffix: str = ""
    channels: tuple[str, ...] = ()
    structures: dict[str, int] = field(default_factory=dict)
    ignore: int | None = None
    instances: bool = False
    spacing_mm: tuple[float, ...] | None = None
    grey: bool = False
    image_key: str = "raw"
    label_key: str = "label"
    patients: Path | None = None
    replace: bool = False
    add: bool = False


@dataclass(frozen=True)
class Conversion:
    """What was decided for all files at once.

    Attributes:
        options: What the user said.
        ending: Of all files.
        channels: Names of the channels.
        labels: Structure name to value, without ``ignore``.
        ignore: The value that means *not annotated*.
        spacing_mm: Of files that carry none.
        unit: Of all spacings.
        keep_alpha: Whether the last of two or four channels says something.
    """

    options: ImportOptions
    ending: str
    channels: tuple[str, ...]
    labels: dict[str, int]
    ignore: int | None
    spacing_mm: tuple[float, ...] | None
    unit: Unit
    keep_alpha: bool


def read_raw_image(path: Path, options: ImportOptions) -> Image:
    """Read an image of any format that can be imported; a fourth axis is channels."""
    if hdf5.is_hdf5(path):
        return hdf5.read_image(path, key=options.image_key)
    if path.name.lower().endswith(NIFTI):
        return nifti.read_channels(path)
    return read_image(path)


def read_raw_label(path: Path, options: ImportOptions) -> LabelMap:
    """Read a label map of any format that can be imported."""
    if hdf5.is_hdf5(path):
        return hdf5.read_label(path, key=options.label_key)
    return read_label(path)


def plain(
    array: Float32[np.ndarray, "channel i j k"],
    keep_alpha: bool,
    options: ImportOptions,
) -> Float32[np.ndarray, "plain i j k"]:
    """Without an alpha channel that says nothing; one channel for equal colours."""
    kept = array if keep_alpha or len(array) not in (2, 4) else array[:-1]
    if options.grey and len(kept) == 3 and (kept == kept[:1]).all():
        return kept[:1]
    return kept


def placed_grid(grid: Grid, spacing_mm: tuple[float, ...] | None) -> Grid:
    """The grid with the spacing that its file did not carry."""
    if spacing_mm is None or grid.unit == "mm":
        return grid
    i, j, k = (*spacing_mm, 1.0)[:3]
    return Grid.from_spacing(grid.shape, (i, j, k), "mm")
