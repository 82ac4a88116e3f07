"""Surface Dice by hand, by published values, and by another implementation."""

import math

import numpy as np
import pytest
import torch
from monai.metrics.surface_dice import compute_surface_dice

from segpipe.evaluation.measures import surfaces
from segpipe.evaluation.measures.surfaces import surface_dice
from segpipe.images.grid import Spacing, Triple

ONE = (1.0, 1.0, 1.0)


def filled(shape: Triple, *boxes: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    return mask


def cube(at: int, size: int, *, shape: Triple = (12, 12, 12)) -> np.ndarray:
    """A cube that starts at 3 along j and k."""
    rest = slice(3, 3 + size)
    return filled(shape, (slice(at, at + size), rest, rest))


def cubes_surface(size: int) -> float:
    """Faces between the edges, edges cut at 45 degrees, and corners."""
    edge, corner = math.sqrt(2) / 2, math.sqrt(3) / 8
    return 6 * (size - 1) ** 2 + 12 * (size - 1) * edge + 8 * corner


def rims_share(size: int) -> float:
    """Share of a cube's surface that a cube one voxel further has in common."""
    edge, corner = math.sqrt(2) / 2, math.sqrt(3) / 8
    around = 4 * (size - 1) + 4 * edge
    end = 4 * (size - 1) * edge + 4 * corner
    return ((size - 1) * around + end) / cubes_surface(size)


SLABS = filled((12, 12, 12), np.s_[:, :, 2]), filled((12, 12, 12), np.s_[:, :, 5])
SQUARES = (
    filled((6, 6, 1), np.s_[1:3, 1:3]),
    filled((6, 6, 1), np.s_[1:4, 1:3]),
)
DIAGONAL = math.hypot(2, 1) / 2
AROUND = 4 * DIAGONAL + 2 * 1 + 2 * 2, 4 * DIAGONAL + 2 * 1 + 4 * 2  # their contours


@pytest.mark.parametrize(
    ("reference", "prediction", "spacing", "tolerance", "expected"),
    [
        # A cube and the same one, and one that is a voxel further.
        (cube(3, 4), cube(3, 4), ONE, 0.0, 1),
        (cube(3, 4), cube(4, 4), ONE, 0.0, rims_share(4)),
        (cube(3, 4), cube(4, 4), ONE, 0.99, rims_share(4)),
        (cube(3, 4), cube(4, 4), ONE, 1.0, 1),
        # Plates of one voxel, 3 apart: their near faces are 2 apart, the others 3.
        (*SLABS, (1.0, 1.0, 2.0), 3.99, 0),
        (*SLABS, (1.0, 1.0, 2.0), 4.0, 0.5),
        (*SLABS, (1.0, 1.0, 2.0), 5.99, 0.5),
        (*SLABS, (1.0, 1.0, 2.0), 6.0, 1),
        # Distances that equal the tolerance but for rounding: 3 * 0.1 > 0.3.
        (*SLABS, (1.0, 1.0, 0.1), 0.3, 1),
        (*SLABS, (1.0, 1.0, 0.1), 0.2999, 0.5),
        (*SLABS, (1.0, 1.0, 1.1), 3.3, 1),
        (*SLABS, (1.0, 1.0, 1.1), 3.2999, 0.5),
        # DeepMind's surface-distance, surface_distance_test.py: 2 pixels, 2 voxels,
        # half spaces, and squares whose contours it draws.
        (
            filled((128, 128, 1), np.s_[50, 70]),
            filled((128, 128, 1), np.s_[50, 72]),
            (2.0, 1.0, 9.0),
            1.0,
            0.5,
        ),
        (
            filled((60, 70, 80), np.s_[50, 60, 70]),
            filled((60, 70, 80), np.s_[50, 60, 72]),
            (3.0, 2.0, 1.0),
            1.0,
            0.5,
        ),
        (
            filled((100, 100, 100), np.s_[:50]),
            filled((100, 100, 100), np.s_[:51]),
            (2.0, 1.0, 1.0),
            1.0,
            pytest.approx(0.836, abs=5e-4),
        ),
        (*SQUARES, (2.0, 1.0, 9.0), 0.5, 1 - (2 + 2 * DIAGONAL) / sum(AROUND)),
        (*SQUARES, (2.0, 1.0, 9.0), 1.0, 1 - (1 + 2 * DIAGONAL) / sum(AROUND)),
    ],
)
@pytest.mark.parametrize("many", [surfaces.MANY, 0], ids=["tree", "map"])
def test_the_share_of_the_surfaces_that_is_near(
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing: Spacing,
    tolerance: float,
    expected: float,
) -> None:
    monkeypatch.setattr(surfaces, "MANY", many)

    found = surface_dice(reference, prediction, spacing=spacing, tolerance=tolerance)

    assert found == pytest.approx(expected)
    back = surface_dice(prediction, reference, spacing=spacing, tolerance=tolerance)
    assert back == pytest.approx(found)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("axes", [3, 2])
def test_noise_scores_as_in_monai(seed: int, axes: int) -> None:
    """All neighbourhoods of voxels occur; tolerances that equal no distance."""
    rng = np.random.default_rng(seed)
    shape = (11, 12, 13) if axes == 3 else (11, 12, 1)
    reference, prediction = rng.random(shape) < 0.3, rng.random(shape) < 0.5
    spacing = (0.7, 1.0, 2.9)
    pair = [
        torch.from_numpy(one if axes == 3 else one[..., 0])[None, None].float()
        for one in (prediction, reference)
    ]

    for tolerance in (0.1, 0.75, 1.3):
        (expected,) = compute_surface_dice(
            *pair,
            [tolerance],
            include_background=True,
            spacing=list(spacing[:axes]),
            use_subvoxels=True,
        )
        found = surface_dice(
            reference, prediction, spacing=spacing, tolerance=tolerance
        )
        assert found == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 5, 6), (5, 1, 6), (5, 1, 1), (1, 1, 1)])
def test_an_axis_with_one_voxel_has_no_surface_across(shape: Triple) -> None:
    """An image that is full differs by no element from itself."""
    mask = np.ones(shape, bool)

    assert surface_dice(mask, mask, spacing=ONE, tolerance=0.0) == 1
