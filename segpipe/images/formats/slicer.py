"""The segments that 3D Slicer names in the header of an NRRD file."""

import re
from dataclasses import dataclass
from pathlib import Path

from segpipe.images.formats import itk
from segpipe.images.values import whole_labels
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError

SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")


@dataclass(frozen=True)
class Segment:
    """A named segment.

    Attributes:
        name: What the header calls it.
        value: Its value in its layer.
        layer: The component of the voxels that holds it: segments that overlap lie in
            different ones.
    """

    name: str
    value: int
    layer: int


def find_segments(path: Path) -> tuple[Segment, ...]:
    """The segments of an NRRD file in the order of its header.

    Returns:
        The segments; empty if the header has none, or if it is another format.
    """
    if not path.name.lower().endswith((".nrrd", ".nhdr")) or not path.is_file():
        return ()
    found: dict[int, dict[str, str]] = {}
    for key, value in itk.read_fields(path).items():
        if match := SEGMENT.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return tuple(
        Segment(of["Name"], int(of["LabelValue"]), int(of.get("Layer", "0") or 0))
        for _, of in sorted(found.items())
        if of.get("LabelValue", "").isdecimal()
        and of.get("Layer", "0").isdecimal()
        and "Name" in of
    )


def read_layers(path: Path) -> tuple[LabelMap, ...]:
    """Read the layers of a segmentation, one label map each.

    Raises:
        DataError: As for an image, or if a value is not whole.
    """
    array, grid = itk.read_components(path)
    return tuple(LabelMap(whole_labels(path, layer), grid) for layer in array)


def read_segment_names(path: Path) -> dict[int, str]:
    """The names of the segments by their values, where there is one layer."""
    segments = find_segments(path)
    if any(segment.layer for segment in segments):
        return {}
    return {segment.value: segment.name for segment in segments}


def check_segment_names(path: Path, labels: dict[str, int]) -> None:
    """Check the values that the header names against those of the data set.

    Names that the data set does not have say nothing.

    Args:
        path: A label map of any format.
        labels: The value of each structure in the data set.

    Raises:
        DataError: If the header gives a structure of the data set another value.
    """
    values = {name.strip().casefold(): value for name, value in labels.items()}
    for value, name in sorted(read_segment_names(path).items()):
        wanted = values.get(name.strip().casefold(), value)
        if wanted != value:
            raise DataError(
                f"{path}: expected {name!r} as {wanted}, found {value} in its header; "
                "give the segments the same values in all cases (export them with one "
                "colour table in 3D Slicer)"
            )
