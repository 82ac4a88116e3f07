"""Views: planes of a case with image, reference and predictions."""

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.case_files import (
    read_case,
    read_case_instances,
    read_case_label,
    read_prediction,
)
from segpipe.evaluation.report.overlays import View
from segpipe.evaluation.report.plots import COLOURS
from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.project.paths import Paths

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}


def build_views(
    cases: CaseList, name: str, *, models: list[str], paths: Paths
) -> list[View]:
    """Cut the planes of a case: one of an image, three of a volume.

    Args:
        cases: The data set.
        name: Name of the case.
        models: Names of the models whose predictions are shown.
        paths: The project's folders.
    """
    case = cases[name]
    image = read_case(paths.data, cases, case)
    drawn = read_case_instances(paths.data, cases, case)
    reference = cases.legend.topmost(read_case_label(paths.data, cases, case).array)
    predicted = {model: _predicted(paths, model, cases, name) for model in models}
    if drawn is None:
        regions = predicted
    else:
        counted = set(np.unique(reference[drawn.array > 0]).tolist()) - {0}
        regions = {
            model: _by_instance(classes, _components(classes, counted))
            for model, classes in predicted.items()
        }
        reference = _by_instance(reference, drawn.array)
    volumes = [image.array, reference, *regions.values()]
    if cases.dimensions == 2:
        planes = [_flat(volume) for volume in volumes]
        return [show_plane("", planes, models, aspect=aspect_of(image.grid, 0, 1))]
    turn = image.grid.to_canonical
    volumes = [turn.apply(volume) for volume in volumes]
    grid = image.grid.reoriented(turn)
    views = []
    for plane, axis in PLANES.items():
        place = _fullest(volumes[1], axis)
        across, down = (n for n in range(3) if n != axis)
        planes = [cut_plane(volume, axis, place) for volume in volumes]
        views.append(
            show_plane(plane, planes, models, aspect=aspect_of(grid, across, down))
        )
    return views


def _predicted(paths: Paths, model: str, cases: CaseList, name: str) -> np.ndarray:
    """The predicted classes of a case; background where the prediction is missing."""
    predicted = read_prediction(paths.artifacts, model, cases, name)
    if predicted is None:
        return np.zeros(cases[name].shape, dtype=np.int32)
    return cases.legend.topmost(predicted.array)


def _components(classes: np.ndarray, counted: set[int]) -> np.ndarray:
    """Number the connected components of each structure that has instances."""
    ids = np.zeros_like(classes)
    for number in sorted(counted):
        found = components(classes == number, connectivity="all")
        ids = np.where(found > 0, found + ids.max(), ids)
    return ids


def _by_instance(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Region numbers: one colour an instance, the first colour for all others."""
    rest = len(COLOURS)
    spread = ids + (ids - 1) // (rest - 1)  # skips the multiples of rest
    return np.where(ids > 0, spread, np.where(classes > 0, rest, 0))


def _fullest(reference: np.ndarray, axis: int) -> int:
    """The slice with the largest annotated area; the middle one if there is none."""
    others = tuple(n for n in range(3) if n != axis)
    areas = (reference > 0).sum(axis=others)
    return int(areas.argmax()) if areas.any() else reference.shape[axis] // 2


def cut_plane(volume: np.ndarray, axis: int, place: int) -> np.ndarray:
    """Cut a plane as rows and columns, with its second axis upwards."""
    plane = volume.take(place, axis=volume.ndim - 3 + axis)
    return np.asarray(np.swapaxes(plane, -1, -2)[..., ::-1, :])


def _flat(volume: np.ndarray) -> np.ndarray:
    """The only slice of an image as rows and columns."""
    return np.asarray(np.swapaxes(volume[..., 0], -1, -2))


def aspect_of(grid: Grid, across: int, down: int) -> float:
    """Height of a pixel over its width in the plane of two axes."""
    return grid.spacing[down] / grid.spacing[across]


def show_plane(
    name: str, planes: list[np.ndarray], models: list[str], *, aspect: float
) -> View:
    """Make a view of the planes of image, reference and each model's prediction."""
    image = np.nan_to_num(planes[0])  # a channel that the case lacks is black
    low, high = np.percentile(image, (0.5, 99.5))
    bright = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    colours = np.moveaxis(bright, 0, -1) if len(bright) == 3 else bright[0]
    predictions = dict(zip(models, planes[2:], strict=True))
    return View(name, colours, planes[1], predictions, aspect)
