"""Reading the images, labels and instances of a case, whatever their format."""

from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap


def read_case(data: Path, cases: CaseList, case: Case) -> Image:
    """All channels of a case, on the grid of the first."""
    parts = [
        read_image(data / file, spacing_mm=cases.spacing_mm) for file in case.images
    ]
    grid = parts[0].grid
    array = (
        parts[0].array
        if len(parts) == 1
        else np.concatenate([part.array for part in parts])
    )
    return Image(array, Grid(grid.shape, grid.affine, cases.unit))


def read_case_label(data: Path, cases: CaseList, case: Case) -> LabelMap:
    """The label map of a case."""
    label = read_label(data / case.label, spacing_mm=cases.spacing_mm)
    return LabelMap(label.array, Grid(label.grid.shape, label.grid.affine, cases.unit))


def read_case_instances(data: Path, cases: CaseList, case: Case) -> LabelMap | None:
    """The instance ids of a case, 0 where there is none; None without such a file."""
    if case.instances is None:
        return None
    label = read_label(data / case.instances, spacing_mm=cases.spacing_mm)
    return LabelMap(label.array, Grid(label.grid.shape, label.grid.affine, cases.unit))
