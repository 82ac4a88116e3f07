"""Read the images, labels and instances of a case, whatever their format."""

from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap


def read_case(data: Path, cases: CaseList, case: Case) -> Image:
    """Read all channels of a case, on the grid of the first."""
    parts = [
        read_image(data / file, spacing_mm=cases.spacing_mm) for file in case.images
    ]
    grid, arrays = parts[0].grid, [part.array for part in parts]
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return Image(array, Grid(grid.shape, grid.affine, cases.unit))


def read_case_label(data: Path, cases: CaseList, case: Case) -> LabelMap:
    """Read the label map of a case."""
    return _read_labels(data, cases, case.label)


def read_case_instances(data: Path, cases: CaseList, case: Case) -> LabelMap | None:
    """Read the instance ids of a case, 0 for no instance; None without such a file."""
    if case.instances is None:
        return None
    return _read_labels(data, cases, case.instances)


def _read_labels(data: Path, cases: CaseList, file: str) -> LabelMap:
    label = read_label(data / file, spacing_mm=cases.spacing_mm)
    return LabelMap(label.array, Grid(label.grid.shape, label.grid.affine, cases.unit))
