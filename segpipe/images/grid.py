"""Grid: where voxels lie in the world; the only affine arithmetic of the project."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from segpipe.project.documents import Unit

Triple = tuple[int, int, int]  # i, j, k
Spacing = tuple[float, float, float]  # along i, j, k
SAME_GRID = 0.01  # of the unit: corners of two files of one grid lie closer


@dataclass(frozen=True)
class Orientation:
    """A loss-free change of axes: first permute, then flip.

    Attributes:
        permutation: New axis n is old axis ``permutation[n]``.
        flips: Whether each new axis runs backwards.
    """

    permutation: Triple
    flips: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """A view of the array, whose last three axes are i, j, k, in the new axes."""
        lead = array.ndim - 3
        axes = (*range(lead), *(lead + axis for axis in self.permutation))
        i, j, k = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return array.transpose(axes)[..., i, j, k]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """A view of the array in the old axes: the exact inverse of apply."""
        lead = array.ndim - 3
        i, j, k = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        back = tuple(self.permutation.index(axis) for axis in range(3))
        axes = (*range(lead), *(lead + axis for axis in back))
        return array[..., i, j, k].transpose(axes)

    @property
    def slices_first(self) -> "Orientation":
        """The same change, but with old axis k first and not flipped: the slices.

        The other two axes keep their new order and direction. ``slices_at`` is the new
        axis that old axis k becomes.
        """
        a, b = (n for n in range(3) if n != self.slices_at)
        permutation, flips = self.permutation, self.flips
        return Orientation(
            (2, permutation[a], permutation[b]), (False, flips[a], flips[b])
        )

    @property
    def slices_at(self) -> int:
        """The new axis that old axis k becomes."""
        return self.permutation.index(2)


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxel centres: world = affine @ (i, j, k, 1).

    Attributes:
        shape: Number of voxels along i, j, k; a 2-D image has one k.
        affine: From voxel indices to world coordinates, RAS+, in the unit.
        unit: ``mm``, or ``px`` for an image without a physical spacing.
    """

    shape: Triple
    affine: Float64[np.ndarray, "4 4"]
    unit: Unit

    def __post_init__(self) -> None:
        self.affine.setflags(write=False)

    @classmethod
    def from_spacing(cls, shape: Triple, spacing: Spacing, unit: Unit) -> "Grid":
        """Build a grid along the world axes; its first voxel centre is the origin."""
        return cls(shape, np.diag([*spacing, 1.0]), unit)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Grid":
        """Build a grid from ``to_json``."""
        affine = np.asarray(document["affine"], dtype=np.float64)
        i, j, k = document["shape"]
        return cls((i, j, k), affine, document["unit"])

    def to_json(self) -> dict[str, Any]:
        """The grid as JSON, with the affine exact to the last bit."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "unit": self.unit,
        }

    @property
    def spacing(self) -> Spacing:
        """Distance of neighbouring voxel centres along i, j, k, in the unit."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in the unit cubed (mm³ = 0.001 ml)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def corners(self) -> Float64[np.ndarray, "8 3"]:
        """World coordinates of the eight outermost voxel centres."""
        ends = [(0, size - 1) for size in self.shape]
        indices = np.array([(*ijk, 1) for ijk in itertools.product(*ends)])
        return np.asarray((indices @ self.affine.T)[:, :3])

    def points_of(
        self, indices: Float64[np.ndarray, "n 3"]
    ) -> Float64[np.ndarray, "n 3"]:
        """World coordinates of voxel indices, which may be fractions."""
        return np.asarray(indices @ self.affine[:3, :3].T + self.affine[:3, 3])

    def indices_of(
        self, points: Float64[np.ndarray, "n 3"]
    ) -> Float64[np.ndarray, "n 3"]:
        """Voxel indices of points in the world: the inverse of points_of."""
        offsets = points - self.affine[:3, 3]
        return np.asarray(np.linalg.solve(self.affine[:3, :3], offsets.T).T)

    @property
    def largest_shear(self) -> float:
        """Largest absolute cosine between two axes: 0 for orthogonal axes."""
        directions = self.affine[:3, :3] / np.array(self.spacing)
        return float(np.abs(directions.T @ directions - np.eye(3)).max())

    def distance(self, other: "Grid") -> float:
        """Largest distance of corresponding corners in the unit; inf if shapes differ.

        Unlike a difference of affine entries, this is a length in the world.
        """
        if self.shape != other.shape:
            return float("inf")
        return float(np.linalg.norm(self.corners - other.corners, axis=1).max())

    def matches(self, other: "Grid", *, tolerance: float) -> bool:
        """Whether no two corresponding corners are further apart than the tolerance."""
        return self.distance(other) <= tolerance

    def start_in(self, other: "Grid", *, tolerance: float) -> Triple | None:
        """The voxel of another grid at which this one begins; None if it is no part.

        A part is a box of whole voxels of the other grid.
        """
        start = np.rint((np.linalg.inv(other.affine) @ self.affine)[:3, 3])
        change = np.eye(4)
        change[:3, 3] = start
        i, j, k = (int(n) for n in start)
        within = all(
            low >= 0 and low + mine <= size
            for low, mine, size in zip((i, j, k), self.shape, other.shape, strict=True)
        )
        part = Grid(self.shape, other.affine @ change, other.unit)
        inside = within and self.matches(part, tolerance=tolerance)
        return (i, j, k) if inside else None

    @property
    def to_canonical(self) -> Orientation:
        """The change of axes after which i, j, k are closest to R, A, S."""
        directions = self.affine[:3, :3] / np.array(self.spacing)
        permutation = max(
            itertools.permutations(range(3)),
            key=lambda axes: sum(abs(directions[n, axes[n]]) for n in range(3)),
        )
        flips = [bool(directions[n, permutation[n]] < 0) for n in range(3)]
        return Orientation(
            (permutation[0], permutation[1], permutation[2]),
            (flips[0], flips[1], flips[2]),
        )

    @property
    def directions(self) -> str:
        """The sides of the patient towards which i, j, k run, such as LPS."""
        turn = self.to_canonical
        letters = ["", "", ""]
        for new, old in enumerate(turn.permutation):
            letters[old] = ("LPI" if turn.flips[new] else "RAS")[new]
        return "".join(letters)

    def reoriented(self, orientation: Orientation) -> "Grid":
        """The grid of ``orientation.apply(array)``."""
        change = np.zeros((4, 4))
        change[3, 3] = 1
        for new, old in enumerate(orientation.permutation):
            flip = orientation.flips[new]
            change[old, new] = -1 if flip else 1
            change[old, 3] = self.shape[old] - 1 if flip else 0
        i, j, k = (self.shape[old] for old in orientation.permutation)
        return Grid((i, j, k), self.affine @ change, self.unit)

    def resampled(self, shape: Triple) -> "Grid":
        """The grid of another shape that covers the same box, edge to edge."""
        scale = np.array(self.shape) / np.array(shape)
        change = np.diag([*scale, 1.0])
        change[:3, 3] = (scale - 1) / 2
        return Grid(shape, self.affine @ change, self.unit)

    def shape_at(self, spacing: Spacing) -> Triple:
        """The shape, at least 1, whose spacing over the same box is closest to this.

        An axis of one voxel keeps it: there is nothing to interpolate, and the
        thickness of a 2-D image, or of a single slice, would only make copies.
        """
        sizes = [
            max(1, round(size * mine / wanted)) if size > 1 else 1
            for size, mine, wanted in zip(
                self.shape, self.spacing, spacing, strict=True
            )
        ]
        return sizes[0], sizes[1], sizes[2]
