"""Views: a test case with its reference and predictions, where the errors are."""

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from jaxtyping import Bool, Integer

from segpipe.dataset.case import CaseList
from segpipe.dataset.case_files import (
    read_case,
    read_case_instances,
    read_case_label,
    read_prediction,
)
from segpipe.evaluation.report.pictures.contours import COLOURS
from segpipe.evaluation.report.pictures.planes import (
    ML_PER_MM3,
    OBLIQUE_DEG,
    PLANES,
    REFERENCE,
    Exhibit,
    Structure,
    View,
    choose_window,
    radiological,
    show_plane,
    tilt_deg,
)
from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.project.paths import Paths


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Topmost structures of the reference and of each prediction, and their errors."""

    classes: dict[str, Integer[np.ndarray, "i j k"]]
    voxels: dict[str, dict[str, int]]  # of each structure, by its name
    regions: dict[str, Integer[np.ndarray, "i j k"]]
    counted: frozenset[int]  # classes with instances
    wrong: list[Bool[np.ndarray, "i j k"]]


def build_exhibit(
    cases: CaseList, name: str, *, models: list[str], paths: Paths
) -> Exhibit:
    """Show a case: the plane of an image; three planes of a volume.

    The slice that is shown first is the one with the largest area of errors: of false
    positives and false negatives of all models. Without errors it is the one with the
    largest annotated area.

    Args:
        cases: The data set.
        name: Name of the case.
        models: Names of the models whose predictions are shown.
        paths: The project's folders.
    """
    image = read_case(paths.data, cases, cases[name])
    found = {m: read_prediction(paths.artifacts, m, cases, name) for m in models}
    drawn = _read_drawn(
        cases,
        name,
        {model: one.array for model, one in found.items() if one is not None},
        models=models,
        paths=paths,
    )
    shown, channels = shown_channels(len(image.array), cases.channels)
    bright = np.nan_to_num(image.array[:shown])  # black where the case lacks a channel
    return Exhibit(
        views=cut_views(bright, drawn.regions, grid=image.grid, chosen=_worst(drawn)),
        structures=_structures(cases, drawn, image.grid),
        unit=size_unit(image.grid)[0],
        absent=frozenset(model for model, one in found.items() if one is None),
        notes=(*channels, *notes_of(image.grid)),
    )


def _read_drawn(
    cases: CaseList,
    name: str,
    found: dict[str, np.ndarray],
    *,
    models: list[str],
    paths: Paths,
) -> _Drawn:
    label = read_case_label(paths.data, cases, cases[name]).array
    ids = read_case_instances(paths.data, cases, cases[name])
    known = (
        np.ones(label.shape, bool) if cases.ignore is None else label != cases.ignore
    )
    labels = {REFERENCE: label}
    labels |= {model: found.get(model, np.zeros_like(label)) for model in models}
    classes = {column: cases.legend.topmost(one) for column, one in labels.items()}
    voxels = {column: _count(cases, one) for column, one in labels.items()}
    regions, counted = classes, set()
    if ids is not None:
        counted = set(np.unique(classes[REFERENCE][ids.array > 0]).tolist()) - {0}
        regions = {
            column: by_instance(
                array,
                ids.array if column == REFERENCE else _components(array, counted),
            )
            for column, array in classes.items()
        }
    wrong = [(classes[model] != classes[REFERENCE]) & known for model in models]
    return _Drawn(classes, voxels, regions, frozenset(counted), wrong)


def cut_views(
    image: np.ndarray,
    regions: dict[str, np.ndarray],
    *,
    grid: Grid,
    chosen: tuple[int, int, int],
) -> list[View]:
    """The views of whole arrays, in one window.

    Args:
        image: Shown channels (channel i j k).
        regions: Regions of the reference and of each model.
        grid: Grid of the image.
        chosen: The slice that is shown first along i, j and k.
    """
    planes = list(PLANES) if grid.shape[2] > 1 else [""]
    turn = radiological(grid)
    at = {p: chosen[turn.permutation[PLANES[p]] if p else 2] for p in planes}
    axes = [turn.permutation[PLANES[p]] if p else 2 for p in planes]
    window = choose_window([image.take(chosen[axis], 1 + axis) for axis in axes])
    return [
        show_plane(p, image, regions, grid=grid, window=window, chosen=at[p])
        for p in planes
    ]


def shown_channels(count: int, names: Sequence[str]) -> tuple[int, list[str]]:
    """How many channels a picture shows, the first ones, and what to say of it."""
    if count == 3:
        return 3, [f"Red, green and blue show the channels {', '.join(names)}."]
    first = f"Only the first of {count} channels is shown: {''.join(names[:1])}."
    return 1, [first] if count > 1 else []


def notes_of(grid: Grid) -> list[str]:
    """What a reader must know of the planes of a grid, in sentences."""
    if grid.shape[2] == 1:
        return []
    notes = [
        "Radiological convention: the patient's right (R) is on the left of axial and "
        "coronal planes."
    ]
    tilt = tilt_deg(grid)
    if tilt > OBLIQUE_DEG:
        notes.append(
            f"The planes are those of the voxels, turned by up to {tilt:.0f}"
            "\N{DEGREE SIGN} against the body: each letter names the closest side."
        )
    return notes


def size_unit(grid: Grid) -> tuple[str, float]:
    """Unit of volumes, or of areas of a 2-D image, and the size of one voxel in it."""
    if grid.shape[2] == 1:
        i, j, _ = grid.spacing
        return (
            ("mm\N{SUPERSCRIPT TWO}", i * j)
            if grid.unit == "mm"
            else ("px\N{SUPERSCRIPT TWO}", 1.0)
        )
    if grid.unit == "mm":
        return "ml", grid.voxel_volume * ML_PER_MM3
    return "voxels", 1.0


def _structures(cases: CaseList, drawn: _Drawn, grid: Grid) -> list[Structure]:
    """The structures that are drawn or found in a case, with their sizes."""
    size = size_unit(grid)[1]
    return [
        Structure(
            name,
            _region(number, drawn.counted),
            {column: found[name] * size for column, found in drawn.voxels.items()},
            {
                column: _number_of_instances(drawn.regions[column][array == number])
                for column, array in drawn.classes.items()
            }
            if number in drawn.counted
            else {},
        )
        for number, name in enumerate(cases.structures)
        if number and any(found[name] for found in drawn.voxels.values())
    ]


def _number_of_instances(regions: Integer[np.ndarray, " voxel"]) -> int:
    """How many instances some voxels belong to; those without one do not count."""
    return int((np.unique(regions) > len(COLOURS)).sum())  # as by_instance numbers them


def _region(number: int, counted: frozenset[int]) -> int | None:
    """The region of a class; None if each of its instances has one."""
    if number in counted:
        return None
    return len(COLOURS) if counted else number  # as by_instance draws the rest


def _count(cases: CaseList, label: Integer[np.ndarray, "i j k"]) -> dict[str, int]:
    """Voxels of each structure in a label map, by its name."""
    values, counts = np.unique(label, return_counts=True)
    return cases.legend.count(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _components(classes: np.ndarray, counted: set[int]) -> np.ndarray:
    """Number the connected components of each structure that has instances."""
    ids = np.zeros_like(classes)
    for number in sorted(counted):
        found = components(classes == number, connectivity="all")
        ids = np.where(found > 0, found + ids.max(), ids)
    return ids


def by_instance(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Region numbers: one an instance, and the first colour for what has no instance.

    The remainder of a number is its colour: instances that touch have different ones
    as far as the colours go round.
    """
    rest = len(COLOURS)
    found, compact = np.unique(ids, return_inverse=True)
    compact = compact.reshape(ids.shape).astype(np.uint32)
    if found[0] != 0:
        compact += 1
    colours = _colours_apart(compact)
    spread = np.arange(len(colours)) * rest + colours
    spread[0] = 0
    return np.where(compact > 0, spread[compact], np.where(classes > 0, rest, 0))


def _colours_apart(ids: np.ndarray) -> np.ndarray:
    """A colour from 1 for each id from 0: the one that its neighbours use least."""
    colours = np.zeros(int(ids.max()) + 1, dtype=np.int64)
    neighbours: dict[int, list[int]] = {}
    for one, other in cc3d.region_graph(ids, connectivity=26):
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    for number in range(1, len(colours)):
        taken = colours[neighbours.get(number, [])]
        uses = np.bincount(taken, minlength=len(COLOURS))[1:]
        turn = np.roll(uses, -(number - 1))  # begins with another colour each time
        colours[number] = 1 + (int(turn.argmin()) + number - 1) % len(uses)
    return colours


def _worst(drawn: _Drawn) -> tuple[int, int, int]:
    """The slices along i, j and k with the largest area of errors, or of structures."""
    reference = drawn.classes[REFERENCE]
    for masks in (drawn.wrong, [reference > 0]):
        i, j, k = (
            sum(mask.sum(axis=others) for mask in masks)
            for others in ((1, 2), (0, 2), (0, 1))
        )
        if i.any():
            return int(i.argmax()), int(j.argmax()), int(k.argmax())
    i, j, k = (size // 2 for size in reference.shape)
    return i, j, k
