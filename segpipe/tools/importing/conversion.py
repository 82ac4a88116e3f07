"""Options and decisions of an import, and reading the files to import."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segpipe.dataset.description import NIFTI, RESERVED, Values
from segpipe.images.formats import nifti
from segpipe.images.formats.colours import match_colours
from segpipe.images.formats.files import read_image
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.documents import Unit
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.labels import LabelRules
from segpipe.tools.importing.reading.series import read_folder
from segpipe.tools.importing.reading.vocabulary import Structures

MADE_UP = re.compile(r"structure_\d+")  # a name that stands for a value alone


@dataclass(frozen=True)
class ImportOptions:
    """What the command line states about the folders to import.

    Attributes:
        images: Folder of images inside the source, or a pattern with ``{case}``.
        labels: Folder of label maps inside the source, or a pattern with ``{case}``.
        channel_suffixes: Endings of the stems that name the channels.
        label_suffix: Ending of the label maps' stems.
        channels: Names of the channels.
        structures: Values or names in the source that make each structure; empty for
            all that are found.
        ignore: The value that means *not annotated*.
        binarize: Grey value from which a voxel of a label file is inside.
        overlap: Which of two structures a voxel of both belongs to: first or last.
        labelled_only: Whether images without a label are left out, not refused.
        reference: The observer whose labels are the reference.
        instances: Whether the label maps are instance ids of one structure.
        spacing_mm: Distance of columns, rows (and slices) in files that store none.
        grey: Whether colours become one channel, by their luma where they differ.
        image_key: Data set of the image in HDF5 files.
        label_key: Data set of the label map in HDF5 files.
        patients: CSV file with the columns case and patient, and free ones.
        patient_pattern: Regular expression of the whole name of a case, whose first
            group is the patient.
        replace: Whether the new cases replace existing data.
        add: Whether the new cases join existing data.
    """

    images: str | None = None
    labels: str | None = None
    channel_suffixes: tuple[str, ...] = ()
    label_suffix: str = ""
    channels: tuple[str, ...] = ()
    structures: Structures = field(default_factory=dict)
    ignore: int | None = None
    binarize: float | None = None
    overlap: str | None = None
    labelled_only: bool = False
    reference: str | None = None
    instances: bool = False
    spacing_mm: tuple[float, ...] | None = None
    grey: bool = False
    image_key: str = "raw"
    label_key: str = "label"
    patients: Path | None = None
    patient_pattern: str | None = None
    replace: bool = False
    add: bool = False

    def joined(
        self, other: "ImportOptions", labels: Mapping[str, Values] | None
    ) -> "ImportOptions":
        """These options, with --add or --replace as the other ones have them.

        Data that are added to name their structures and channels themselves; a name
        that was made up gives way to theirs.

        Args:
            other: The options that were typed.
            labels: The labels of the data that the new cases join.
        """
        known = other.add and not other.replace and labels is not None
        return replace(
            self,
            add=other.add,
            replace=other.replace,
            structures=_as_in(labels or {}, self.structures)
            if known
            else self.structures,
            channels=() if known and not _has_channels(self) else self.channels,
        )


def _as_in(labels: Mapping[str, Values], structures: Structures) -> Structures:
    """The structures that data do not name themselves; one without a name is theirs."""
    plain = all(isinstance(of, int) for of in structures.values())
    made_up = all(MADE_UP.fullmatch(name) for name in structures)
    names = [name for name in labels if name not in RESERVED]
    agree = all(labels.get(name) == of for name, of in structures.items())
    if agree or (plain and made_up and len(names) > 1):
        return {}
    if made_up and len(names) == len(structures) == 1:
        return dict(zip(names, structures.values(), strict=True))
    return structures


def _has_channels(options: ImportOptions) -> bool:
    return "{channel}" in (options.images or "")


@dataclass(frozen=True)
class Conversion:
    """Decisions for all files of an import.

    Attributes:
        options: Options of the command line.
        ending: Ending of all written images and label maps.
        channels: Names of the channels.
        labels: Value of each structure, or the values that it unites, without
            ``ignore``.
        ignore: The value that means *not annotated*.
        spacing_mm: Distance of columns, rows (and slices) in files that store none.
        unit: Unit of all spacings.
        keep_alpha: Whether the last of two or four channels carries information.
        rules: How label files become label maps.
        regions_class_order: The value as which each structure is written, if some
            unite values.
    """

    options: ImportOptions
    ending: str
    channels: tuple[str, ...]
    labels: Mapping[str, Values]
    ignore: int | None
    spacing_mm: tuple[float, ...] | None
    unit: Unit
    keep_alpha: bool
    rules: LabelRules = field(default_factory=LabelRules)
    regions_class_order: tuple[int, ...] | None = None


def read_raw_image(path: Path, options: ImportOptions) -> Image:
    """Read an image of any format that can be imported; a fourth axis is channels.

    A folder is a series of DICOM.
    """
    if path.is_dir():
        return read_folder(path)
    if hdf5.is_hdf5(path):
        return hdf5.read_image(path, key=options.image_key)
    if path.name.lower().endswith(NIFTI):
        return nifti.read_channels(path)
    return read_image(path)


def drop_redundant_channels(
    array: Float32[np.ndarray, "channel i j k"],
    keep_alpha: bool,
    options: ImportOptions,
) -> Float32[np.ndarray, "kept i j k"]:
    """Drop an alpha channel without information; make colours grey if asked to."""
    kept = array if keep_alpha or len(array) not in (2, 4) else array[:-1]
    return match_colours(kept, ("grey",))[0] if options.grey else kept


def grid_with_spacing(grid: Grid, spacing_mm: tuple[float, ...] | None) -> Grid:
    """The grid with the given spacing if its file stores none."""
    if spacing_mm is None or grid.unit == "mm":
        return grid
    i, j, k = (*spacing_mm, 1.0)[:3]
    return Grid.from_spacing(grid.shape, (i, j, k), "mm")
