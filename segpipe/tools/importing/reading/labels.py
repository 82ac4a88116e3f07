"""Read what was drawn in a case, in any label format, as one label map of data/."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from segpipe.images.formats import slicer
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.instances import check_grid, join_masks
from segpipe.tools.importing.reading.painting import Holders, Painting
from segpipe.tools.importing.reading.panoptic import (
    Segments,
    draw_segments,
    names_of,
)
from segpipe.tools.importing.reading.shapes.canvas import Canvas
from segpipe.tools.importing.reading.shapes.drawing import Drawing
from segpipe.tools.importing.reading.vocabulary import REST, Source

SHOWN = 8  # values listed in an error


@dataclass(frozen=True)
class Drawn:
    """What one person drew in a case: a label map, masks, or shapes.

    Attributes:
        files: The label map, the mask of each structure or of each instance, or the
            document of the shapes.
        names: Name of the structure of each mask; empty for all else.
        apart: Whether each file is the mask of one instance.
        drawing: The shapes, if the file is a document of them.
        segments: What a document says of the ids in the file, if it is panoptic.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...] = ()
    apart: bool = False
    drawing: Drawing | None = field(default=None, compare=False, repr=False)
    segments: Segments | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class LabelRules:
    """How label files become label maps of data/, for all cases of an import.

    Attributes:
        sources: Value in data/ of each value or name of the source; the key ``*``
            stands for all others. Empty: the values stay.
        named: Whether the keys are names: of masks, of segments in headers, of shapes.
        instances: Whether the values are to be ids of instances.
        ignore: The value that means *not annotated*; it stays.
        binarize: Grey value from which a voxel is inside; None: labels are whole.
        overlap: Which of two structures a voxel of both belongs to, in the order of
            sources: first or last; None refuses it.
        key: Data set of the label map in HDF5 files.
        holders: The structures that hold each value, where structures are unions.
    """

    sources: dict[Source, int] = field(default_factory=dict)
    named: bool = False
    instances: bool = False
    ignore: int | None = None
    binarize: float | None = None
    overlap: str | None = None
    key: str = "label"
    holders: Holders = field(default_factory=dict)


@dataclass(frozen=True)
class Notes:
    """What reading dropped and assumed, by file, in sentences for the ledger."""

    dropped: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    assumed: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class NamedMask:
    """A structure that a file names: where it is, read when it is asked for."""

    name: str
    file: Path
    read: Callable[[], LabelMap]


def read_label_map(
    path: Path, *, rules: LabelRules, notes: Notes | None = None
) -> LabelMap:
    """Read a label map of any format with the values that it has.

    With ``binarize`` it may be grey, coloured in grey, or lossy: 1 is inside.
    """
    if rules.binarize is not None:
        return _binarized(path, rules.binarize, rules.key, notes)
    if hdf5.is_hdf5(path):
        return hdf5.read_label(path, key=rules.key)
    return read_label(path)


def read_drawn(
    drawn: Drawn, rules: LabelRules, notes: Notes, grid: Grid | None = None
) -> LabelMap:
    """Read what was drawn in a case, with the values of data/.

    Args:
        drawn: The files.
        rules: How they become a label map.
        notes: Receives what is dropped and assumed.
        grid: The grid of the image, on which shapes and segments are drawn.

    Raises:
        DataError: If a file is damaged, a mask holds several values, masks lie on
            different grids or overlap, or a value is not named.
    """
    if drawn.drawing is not None:
        assert grid is not None
        path, sources = drawn.files[0], rules.sources
        said = notes.dropped[path], notes.assumed[path]
        canvas = Canvas(path, grid, rules.overlap, *said, rules.holders)
        if rules.instances:
            return canvas.draw_instances(drawn.drawing, sources)
        return canvas.draw_structures(drawn.drawing, sources)
    if drawn.segments is not None:
        assert grid is not None
        (path,) = drawn.files
        said = notes.dropped[path], notes.assumed[path]
        return draw_segments(drawn.segments, rules.sources, grid, *said)
    if drawn.apart:
        masks = ((file, _read_mask(file, rules, notes)) for file in drawn.files)
        return join_masks(masks, overlap=rules.overlap, dropped=notes.dropped)
    if rules.named:
        return _compose(drawn, rules, notes)
    (path,) = drawn.files
    label = read_label_map(path, rules=rules, notes=notes)
    if not rules.sources:
        return label
    return LabelMap(_renamed(path, label.array, rules, notes), label.grid)


def names_in(drawn: Drawn) -> tuple[str, ...]:
    """The names that files give to structures: of masks, of segments or of shapes."""
    if drawn.drawing is not None:
        return drawn.drawing.names
    if drawn.segments is not None:
        return names_of(drawn.segments)
    if drawn.names:
        return drawn.names
    return tuple(segment.name for segment in slicer.find_segments(drawn.files[0]))


def _renamed(
    path: Path, array: np.ndarray, rules: LabelRules, notes: Notes
) -> np.ndarray:
    """The label map with the values of data/."""
    other = np.zeros_like(array, dtype=np.int32)
    merged: dict[int, list[int]] = defaultdict(list)
    for value, count in zip(*np.unique(array, return_counts=True), strict=True):
        one = int(value)
        goal = one if one == rules.ignore else rules.sources.get(one)
        if goal is None and one != 0:
            goal = rules.sources.get(REST)
            if goal is None:
                raise DataError(
                    f"{path}: expected values that --structure names, found {one} in "
                    f"{count} voxels; name it, or leave out all others: "
                    "--structure 'background=*'"
                )
        goal = goal or 0
        other[array == value] = goal
        if goal:
            merged[goal].append(one)
        elif one:
            notes.dropped[path].append(f"value {one} ({count} voxels)")
    for goal, values in merged.items():
        if values != [goal]:
            text = ", ".join(map(str, values))
            notes.assumed[path].append(f"{text} in the file is {goal} in data/")
    return other


def _compose(drawn: Drawn, rules: LabelRules, notes: Notes) -> LabelMap:
    """One label map of named masks, in the order of the sources."""
    masks = list(masks_in(drawn, rules, notes))
    chosen = [name for name, goal in rules.sources.items() if goal]
    order = {name: place for place, name in enumerate(chosen)}
    wanted = sorted(
        (mask for mask in masks if mask.name in order), key=lambda m: order[m.name]
    )
    if not wanted:
        raise DataError(
            f"{drawn.files[0]}: expected one of {', '.join(map(str, order))}, found "
            f"{', '.join(mask.name for mask in masks) or 'no named structure'}; "
            "correct --structure, or leave the case out"
        )
    first = wanted[0].read()
    whole = np.zeros(first.array.shape, np.int32)
    painting = Painting(whole, rules.overlap, rules.holders)
    names = {value: str(name) for name, value in rules.sources.items()}
    for mask in wanted:
        one = first if mask is wanted[0] else mask.read()
        check_grid(mask.file, one.grid, first=wanted[0].file, wanted=first.grid)
        inside, before = one.array != 0, painting.nested.copy()
        contested = painting.paint(inside, rules.sources[mask.name])
        dropped, assumed = notes.dropped[mask.file], notes.assumed[mask.file]
        if contested and rules.overlap is not None:
            dropped.append(
                f"{contested} voxels of it, which an earlier structure has"
                if rules.overlap == "first"
                else f"{contested} voxels of earlier structures, which are of this one"
            )
        if not inside.any():
            dropped.append("an empty mask")
        if nested := painting.nested - before:
            shared = ", ".join(f"{n} in {names[v]}" for (v, _), n in nested.items())
            assumed.append(
                f"of its {inside.sum()} voxels {shared}: all count for the structures "
                "that name it"
            )
    if painting.contested and rules.overlap is None:
        raise _refusal(drawn.files[0], painting, names)
    left_out = [mask for mask in masks if mask.name not in order]
    for mask in left_out:
        notes.dropped[mask.file].append(f"the structure {mask.name}")
    lacking = [str(name) for name in order if name not in {m.name for m in masks}]
    if lacking:
        text = f"no file or segment of {', '.join(lacking)}: taken as absent"
        notes.assumed[drawn.files[0]].append(text)
    return LabelMap(whole, first.grid)


def _refusal(path: Path, painting: Painting, names: dict[int, str]) -> DataError:
    pairs = painting.contested.items()
    found = ", ".join(f"{n} of {names[a]} and {names[b]}" for (a, b), n in pairs)
    return DataError(
        f"{path}: expected each voxel in one structure, found voxels in two: {found}; "
        "draw them apart, give --overlap first or --overlap last (in the order of "
        "--structure), or name both in --structure if one is in the other: "
        "OUTER=OUTER,INNER and INNER=INNER"
    )


def masks_in(drawn: Drawn, rules: LabelRules, notes: Notes) -> Iterator[NamedMask]:
    """What masks or segments are named, in order: the one place that knows formats."""
    if drawn.names:
        for name, file in zip(drawn.names, drawn.files, strict=True):
            yield NamedMask(name, file, partial(_read_mask, file, rules, notes))
        return
    (path,) = drawn.files
    layers: list[LabelMap] = []  # read once, by the first segment
    for segment in slicer.find_segments(path):
        yield NamedMask(segment.name, path, partial(_cut, path, segment, layers))


def _read_mask(path: Path, rules: LabelRules, notes: Notes) -> LabelMap:
    label = read_label_map(path, rules=rules, notes=notes)
    _check_mask(path, label.array)
    return label


def _cut(path: Path, segment: slicer.Segment, layers: list[LabelMap]) -> LabelMap:
    if not layers:
        layers.extend(slicer.read_layers(path))
    if segment.layer >= len(layers):
        raise DataError(
            f"{path}: expected the segment {segment.name!r} in one of {len(layers)} "
            f"layers, found Layer {segment.layer} in the header; write the file again "
            "with 3D Slicer"
        )
    layer = layers[segment.layer]
    return LabelMap((layer.array == segment.value).astype(np.int16), layer.grid)


def _check_mask(path: Path, array: np.ndarray) -> None:
    """Check that a mask has one value beside 0, whichever it is.

    Raises:
        DataError: If it has several; the mend has the threshold in their middle.
    """
    values, counts = np.unique(array, return_counts=True)
    inside = values != 0
    if inside.sum() > 1:
        pairs = list(zip(values[inside], counts[inside], strict=True))[:SHOWN]
        found = ", ".join(f"{value} ({count} voxels)" for value, count in pairs)
        raise DataError(
            f"{path}: expected a mask of 0 and one other value, found {found}; give "
            f"--binarize {(int(values.max()) + 1) // 2}, which takes what is at least "
            "that, or correct the mask"
        )


def _binarized(path: Path, threshold: float, key: str, notes: Notes | None) -> LabelMap:
    """Where the grey value is at least the threshold, as 1."""
    packed = hdf5.is_hdf5(path)
    image = hdf5.read_image(path, key=key) if packed else read_image(path)
    colours = image.array[:1] if len(image.array) == 2 else image.array[:3]
    if (colours != colours[:1]).any():
        raise DataError(
            f"{path}: expected grey values to binarize, found {len(image.array)} "
            "channels that differ; write the mask in grey values"
        )
    grey = image.array[0]
    if not ((grey != 0) & (grey != grey.max())).any():  # a mask, whatever its value
        return LabelMap((grey != 0).astype(np.int16), image.grid)
    if grey.max() < threshold:
        raise DataError(
            f"{path}: expected grey values from {threshold:g}, found {grey.max():g} at "
            "most; give a lower --binarize, or correct the mask"
        )
    between = int(((grey != 0) & (grey != grey.max())).sum())
    if between and notes is not None:
        notes.dropped[path].append(
            f"the values of {between} voxels between 0 and {grey.max():g}, by "
            f"--binarize {threshold:g}"
        )
    return LabelMap((grey >= threshold).astype(np.int16), image.grid)
