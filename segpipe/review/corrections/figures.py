"""Figures: how much of a mask was drawn anew, and how much of it changed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from segpipe.images.grid import Grid
from segpipe.images.values import Legend

ML = 1e-3  # of a mm³


@dataclass(frozen=True)
class Change:
    """What a correction changed, by structure, in the unit of the grid.

    Attributes:
        added_path: Length of the contour that was drawn anew, in mm or px.
        voxels: Volume of the voxels that a structure gained or lost, in mm³ or px³.
    """

    added_path: dict[str, float]
    voxels: dict[str, float]

    @property
    def path(self) -> float:
        """Length of contour that was drawn anew, of all structures together."""
        return sum(self.added_path.values())

    @property
    def is_nothing(self) -> bool:
        """Whether both masks are the same."""
        return not any(self.voxels.values())

    @property
    def ml(self) -> dict[str, float]:
        """Volume by structure in ml, of a grid in mm."""
        return {name: volume * ML for name, volume in self.voxels.items()}


def measure_change(
    before: Integer[np.ndarray, "i j k"],
    after: Integer[np.ndarray, "i j k"],
    grid: Grid,
    legend: Legend,
) -> Change:
    """Compare a mask with the one that it was corrected to.

    Args:
        before: The mask that was changed.
        after: The result.
        grid: The grid of both.
        legend: What their values stand for.
    """
    turn = grid.to_canonical
    spacing = grid.reoriented(turn).spacing
    old, new = turn.apply(before), turn.apply(after)
    paths, volumes = {}, {}
    for number, name in enumerate(legend.structures[1:], start=1):
        was, now = legend.mask(old, number), legend.mask(new, number)
        paths[name] = added_path(was, now, spacing[:2])
        volumes[name] = float((was != now).sum()) * grid.voxel_volume
    return Change(paths, volumes)


def added_path(
    before: Bool[np.ndarray, "i j k"],
    after: Bool[np.ndarray, "i j k"],
    spacing: tuple[float, float],
) -> float:
    """Added path length: contour of the new mask that was no contour of the old one.

    The contour is counted in voxels, slice by slice along k; each voxel of it is as
    long as a voxel is wide, in the mean of both axes of the slice. The tolerance is 0:
    a voxel was on the old contour, or it was not. A contour that was deleted costs
    nothing here; the changed volume tells of it.

    Args:
        before: Where the structure was, with k upright in the body.
        after: Where it is now.
        spacing: Distance of voxels along i and j.

    Returns:
        The length in the unit of the spacing.

    Source:
        Vaassen 2020, doi:10.1016/j.phro.2019.12.001.
    """
    count = int((contour(after) & ~contour(before)).sum())
    return count * (spacing[0] + spacing[1]) / 2


def contour(mask: Bool[np.ndarray, "i j k"]) -> Bool[np.ndarray, "i j k"]:
    """Voxels of a mask that share an edge with one outside of it, in the same slice.

    What is beyond the edges of the image is outside.
    """
    wide = np.pad(mask, ((1, 1), (1, 1), (0, 0)))
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    found: Bool[np.ndarray, "i j k"] = mask & ~inner
    return found
