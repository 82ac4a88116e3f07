"""Inspection of one case: its grid and values, and what is wrong with its files."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32

from segpipe.dataset.description import legend_of
from segpipe.dataset.layout import CaseFiles, Dataset
from segpipe.images.contract import check_axial, check_varies
from segpipe.images.formats import raster, slicer
from segpipe.images.formats.colours import HOW, is_picture, match_colours
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError

# An upper bound of the tolerance in mm, for microscopy with its small voxels.
TOLERANCE_VOXELS = 0.1
EMPTY = "no structure is drawn"
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What an inspection accepts.

    Attributes:
        grid_tolerance_mm: Largest distance between corners of two grids; never more
            than a tenth of a voxel.
        spacing_mm: Smallest and largest credible spacing.
        empty_is_fault: Whether a label without any structure is refused.
    """

    grid_tolerance_mm: float
    spacing_mm: tuple[float, float]
    empty_is_fault: bool


@dataclass(frozen=True)
class Finding:
    """Result of inspecting one case.

    Attributes:
        files: Files of the case.
        grid: Grid of the first image; None if that could not be read.
        faults: Texts that name the file, what was expected and found, and what to do.
        warnings: Texts about what is strange, but no fault.
        digest: Digest of the voxels of all images along the canonical axes: the same
            for copies, however they are stored.
        counts: Number of voxels with each value of the label map.
    """

    files: CaseFiles
    grid: Grid | None
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    digest: str
    counts: dict[int, int]

    def to_json(self) -> dict[str, Any]:
        """The finding of a case without faults as JSON, without the files."""
        assert self.grid is not None
        assert not self.faults
        return {
            "grid": self.grid.to_json(),
            "warnings": list(self.warnings),
            "digest": self.digest,
            "counts": [list(pair) for pair in self.counts.items()],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], files: CaseFiles) -> "Finding":
        """Build a finding from ``to_json`` and its files."""
        return cls(
            files=files,
            grid=Grid.from_json(document["grid"]),
            faults=(),
            warnings=tuple(document["warnings"]),
            digest=document["digest"],
            counts=dict(document["counts"]),
        )


def inspect_case(
    files: CaseFiles, *, data: Path, dataset: Dataset, limits: Limits
) -> Finding:
    """Read all files of a case, one after the other, and list all faults."""
    faults: list[str] = []
    converted: list[str] = []
    grid, digest = _inspect_images(files, data, dataset, limits, faults, converted)
    counts: dict[int, int] = {}
    stated = (
        raster.spacing_warning(data / file, dataset.spacing_mm) for file in files.images
    )
    warnings = [*converted, *(words for words in stated if words)]
    label = _try(partial(_read_label, data / files.label, dataset), faults)
    if label is not None:
        faults += _apart(data / files.label, label.grid, grid, limits)
        values, numbers = np.unique(label.array, return_counts=True)
        counts = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        faults += _value_faults(data / files.label, counts, dataset)
        if not set(counts) - {0, dataset.ignore}:
            if limits.empty_is_fault:
                faults.append(
                    f"{data / files.label}: expected at least one structure, found "
                    "none; draw it, or accept empty labels: verify.empty_label: warn"
                )
            else:
                warnings.append(EMPTY)
    if files.instances is not None:
        path = data / files.instances
        read = partial(read_label, path, spacing_mm=dataset.spacing_mm)
        instances = _try(read, faults)
        if instances is not None:
            faults += _apart(path, instances.grid, grid, limits)
            faults += _instance_faults(path, instances)
            warnings += _strays(instances, label, dataset.ignore)
    for file in files.observers.values():
        again = _try(partial(_read_label, data / file, dataset), faults)
        if again is not None:
            faults += _apart(data / file, again.grid, grid, limits)
            found = np.unique(again.array, return_counts=True)
            pairs = zip(found[0].tolist(), found[1].tolist(), strict=True)
            faults += _value_faults(data / file, dict(pairs), dataset)
    return Finding(files, grid, tuple(faults), tuple(warnings), digest, counts)


def _try(read: Callable[[], T], faults: list[str]) -> T | None:
    """What was read; on a DataError None, with the error added to the faults."""
    try:
        return read()
    except DataError as error:
        faults.append(str(error))
        return None


def _read_label(path: Path, dataset: Dataset) -> LabelMap:
    single = {name: n for name, n in dataset.labels.items() if isinstance(n, int)}
    slicer.check_segment_names(path, single)
    return read_label(path, spacing_mm=dataset.spacing_mm)


def add_voxels(digest: Any, image: Image) -> None:
    """Add the voxels of an image to a digest of a case, along the canonical axes."""
    turned = image.grid.to_canonical.apply(image.array)
    digest.update(repr(turned.shape).encode())
    digest.update(np.ascontiguousarray(turned).data)


def _inspect_images(
    files: CaseFiles,
    data: Path,
    dataset: Dataset,
    limits: Limits,
    faults: list[str],
    converted: list[str],
) -> tuple[Grid | None, str]:
    """The grid of the first image and the digest of all, one image at a time.

    What read_case converts is added to the last list, in sentences.
    """
    digest = hashlib.sha256()
    grid: Grid | None = None
    channels, readable = 0, True
    for file in files.images:
        path = data / file
        read = partial(read_image, path, spacing_mm=dataset.spacing_mm)
        image = _try(read, faults)
        if image is None:
            readable = False
            continue
        faults += _apart(path, image.grid, grid, limits)
        faults += _flat_channels(path, image.array)
        if len(files.images) == 1 and is_picture(path):
            matched, words = match_colours(image.array, dataset.channels)
            converted += [words] if words else []
            channels += len(matched)
        else:
            channels += len(image.array)
        add_voxels(digest, image)
        if grid is None:
            grid = image.grid
            faults += _geometry_faults(path, grid, dataset, limits)
    names = [n for k, n in enumerate(dataset.channels) if k not in files.missing]
    if readable and channels != len(names):
        faults.append(
            f"{data / files.images[0]}: expected {len(names)} channels "
            f"({', '.join(names)}), found {channels}; mend channel_names in "
            f"dataset.json, or the image: {HOW}"
        )
    return grid, digest.hexdigest()


def _apart(path: Path, grid: Grid, first: Grid | None, limits: Limits) -> Iterator[str]:
    """A fault if a grid differs from that of the case's first image."""
    if first is None:
        return
    tolerance = min(limits.grid_tolerance_mm, TOLERANCE_VOXELS * min(first.spacing))
    if first.matches(grid, tolerance=tolerance):
        return
    distance = first.distance(grid)
    apart = (
        "another shape"
        if first.shape != grid.shape
        else f"corners {distance:.4g} {first.unit} apart"
    )
    yield (
        f"{path}: expected the grid of the case's first image, shape {first.shape}, "
        f"spacing {_rounded(first)}, found shape {grid.shape}, spacing "
        f"{_rounded(grid)}: {apart}; export both from one grid, or resample the label "
        "map onto the image by nearest neighbour"
    )


def _rounded(grid: Grid) -> str:
    return "(" + ", ".join(f"{size:.4g}" for size in grid.spacing) + ")"


def _geometry_faults(
    path: Path, grid: Grid, dataset: Dataset, limits: Limits
) -> Iterator[str]:
    low, high = limits.spacing_mm
    axes = 3 if grid.shape[2] > 1 else 2  # one slice: its thickness changes nothing
    strange = any(not low <= size <= high for size in grid.spacing[:axes])
    if dataset.unit == "mm" and strange:
        yield (
            f"{path}: expected spacings from {low:g} to {high:g} mm, found "
            f"{_rounded(grid)}; set the true one, or verify.spacing_limits_mm"
        )
    if 1 in grid.shape[:2]:
        yield (
            f"{path}: expected more than one voxel along i and j, found shape "
            f"{grid.shape}; store a single slice as a 2-D image"
        )
        return
    try:
        check_axial(path, grid)
    except DataError as error:
        yield str(error)


def _flat_channels(
    path: Path, array: Float32[np.ndarray, "channel i j k"]
) -> Iterator[str]:
    for number, channel in enumerate(array):
        where = f" in channel {number}" if len(array) > 1 else ""
        try:
            low, high = float(channel.min()), float(channel.max())
            check_varies(path, low, high, where=where)
        except DataError as error:
            yield str(error)


def _value_faults(
    path: Path, counts: dict[int, int], dataset: Dataset
) -> Iterator[str]:
    legend = legend_of(dataset.labels, dataset.regions_class_order)
    known = {*legend.values, dataset.ignore}
    strange = [value for value in counts if value not in known]
    if strange:
        named = ", ".join(
            f"{name} {' or '.join(map(str, legend.values_of(name)))}"
            for name in dataset.labels
        )
        found = ", ".join(f"{value} ({counts[value]} voxels)" for value in strange[:12])
        more = f" and {len(strange) - 12} more values" if len(strange) > 12 else ""
        yield (
            f"{path}: expected the labels of dataset.json ({named}"
            f"{'' if dataset.ignore is None else f', ignore {dataset.ignore}'}), found "
            f"{found}{more}; name them there, or mend the label map"
        )
    if set(counts) == {dataset.ignore}:
        yield (
            f"{path}: expected annotated voxels, found ignore everywhere; "
            "annotate some, or move the case out"
        )


def _instance_faults(path: Path, instances: LabelMap) -> Iterator[str]:
    low, high = int(instances.array.min()), int(instances.array.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        yield (
            f"{path}: expected instance ids from 1 and 0 for none, found {low} to "
            f"{high}; renumber the instances"
        )


def _strays(
    instances: LabelMap, label: LabelMap | None, ignore: int | None
) -> Iterator[str]:
    """A warning if instances lie on voxels without a structure."""
    if label is None or label.array.shape != instances.array.shape:
        return
    annotated = np.ones(label.array.shape, bool)
    if ignore is not None:
        annotated = label.array != ignore
    outside = int(((instances.array != 0) & (label.array == 0) & annotated).sum())
    if outside:
        yield f"{outside} voxels of instances lie in the background"
