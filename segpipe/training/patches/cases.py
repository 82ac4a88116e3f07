"""Cases: what a training keeps of a prepared case, from which patches are drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from segpipe.dataset.prepared import open_annotation, prepared_case
from segpipe.images.borders import Dimensions
from segpipe.images.region import Region, region_voxels
from segpipe.images.values import Legend
from segpipe.project.errors import DataError

PLACES = 2000  # most voxels kept for each class of a case, to draw centres from
QUANTILES = 256
ROUNDING = 1e-4  # of prepared background values, in deviations


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A prepared case, memory-mapped, and places of its structures.

    Attributes:
        name: Name of the case.
        image: Normalized intensities.
        label: Class indices, as far as the model may know them; negative elsewhere.
        border: Border term of the weight, if the model uses it.
        separation: Voxels between touching instances, if any.
        places: Labelled voxels of each structure that the case has, by its number; of
            the background only for balanced sampling.
        quantiles: Evenly spaced quantiles of each channel over the region of the case,
            from the lowest to the highest intensity, if histograms are matched.
        line: Class that voxels between instances are learned as; 0 is background; None
            for their own.
        drawn: Instance ids, if there are any.
        levels: How deep voxels lie in their instances, if the model learns it.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    border: np.ndarray | None
    separation: np.ndarray | None
    places: dict[int, Int32[np.ndarray, "n 3"]]
    quantiles: Float32[np.ndarray, "channel q"] | None
    line: int | None = 0
    drawn: np.ndarray | None = None
    levels: np.ndarray | None = None


def read_training_case(
    artifacts: Path,
    name: str,
    *,
    dimensions: Dimensions,
    border: bool,
    sparse: bool,
    balanced: bool,
    matched: bool,
    seed: int,
    legend: Legend,
    line: int | None = 0,
    levels: bool = False,
) -> TrainingCase:
    """Open a prepared case and find places of its structures.

    Args:
        artifacts: Folder of all stages.
        name: Name of the case.
        dimensions: Dimensions of the network, whose weight maps are taken.
        border: Whether the model uses the border term.
        sparse: Whether the voxels that annotate hides are unknown.
        balanced: Whether sampling is balanced, so that background has places too.
        matched: Whether histograms are matched.
        seed: Seed of the choice of places.
        legend: The structures, by class numbers.
        line: Class of the voxels between touching instances; None for their own.
        levels: Whether the model learns levels of distance.

    Raises:
        DataError: If it learns them, and weigh did not find them.
    """
    prepared = prepared_case(artifacts, name)
    label, weighed = open_annotation(artifacts, name, sparse=sparse)
    found = weighed.levels(dimensions) if levels else None
    if levels and found is None:
        raise DataError(
            f"{weighed.folder}: expected levels for target: distance, found none; set "
            "weigh.levels: true"
        )
    return TrainingCase(
        name=name,
        image=prepared.image,
        label=label,
        border=weighed.border(dimensions) if border else None,
        separation=weighed.separation(dimensions),
        places=_places(label, legend, balanced, np.random.default_rng(seed)),
        quantiles=_quantiles(prepared.image, prepared.region) if matched else None,
        line=line,
        drawn=prepared.instances,
        levels=found,
    )


def _quantiles(image: np.ndarray, region: Region | None) -> np.ndarray:
    """QUANTILES evenly spaced quantiles of each channel over the region of a case.

    Where empty voxels do not count, their value is the lowest or the highest quantile
    if it lies beyond the others, so that air becomes the air of the other case.
    """
    shares = np.linspace(0, 1, QUANTILES)
    if region is None:
        found = np.stack([np.quantile(channel, shares) for channel in image])
        return found.astype(np.float32)
    inside = region_voxels(image, region, tolerance=ROUNDING)
    if not inside.any():  # an image of empty voxels only
        inside[...] = True
    found = np.stack([np.quantile(channel[inside], shares) for channel in image])
    if region.kind == "voxels":
        found[:, 0] = np.minimum(found[:, 0], region.background)
        found[:, -1] = np.maximum(found[:, -1], region.background)
    return found.astype(np.float32)


def _places(
    label: np.ndarray,
    legend: Legend,
    balanced: bool,
    rng: np.random.Generator,
) -> dict[int, np.ndarray]:
    """Choose up to PLACES voxels of each structure, by its number.

    The background (number 0) has places only if sampling is balanced.
    """
    known = np.asarray(label)
    wanted = known >= (0 if balanced else 1)
    indices = np.flatnonzero(wanted)
    classes = known.reshape(-1)[indices]
    places = {}
    for number in range(len(legend.structures)):
        found = indices[legend.mask(classes, number)]
        if not len(found):
            continue
        if len(found) > PLACES:
            found = np.sort(rng.choice(found, PLACES, replace=False))
        places[number] = np.stack(np.unravel_index(found, known.shape), 1).astype(
            np.int32
        )
    return places
