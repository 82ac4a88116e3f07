"""Looking: the threshold is the highest that loses next to nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.coarse import Finder
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.spec import CoarseSpec
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.validation.looking import choose_threshold
from tests.support.segmenters import NONE, make_plan, make_segmenter, with_coarse

INFERENCE = Inference(
    0.5, "gaussian", 1.0, False, Compute(torch.device("cpu"), "fp32", 1)
)
FACTOR = (2, 2, 2)
PLAN = make_plan(
    normalization=(NONE,), structures=("background", "cell"), values=(0, 1)
)


def as_told(tiles: torch.Tensor) -> torch.Tensor:
    """Logits of a network that finds the probability which the image has."""
    return torch.cat([torch.zeros_like(tiles), tiles.logit(1e-6)], dim=1)


def finder(reach: int) -> Finder:
    made = with_coarse(
        make_segmenter(PLAN, network="unet3d"),
        factor=FACTOR,
        threshold=0.5,
        reach=reach,
    )
    assert made.coarse is not None
    assert made.spec.coarse is not None
    return Finder(made.coarse.spec, made.spec.coarse, [as_told])


def case_of(
    probabilities: dict[tuple[int, int, int], float], voxels: dict[int, int]
) -> tuple[TrainingCase, TrainingCase]:
    """A case of 32^3 voxels, and the same shrunk.

    Args:
        probabilities: Probability of some coarse voxels; the others have .001.
        voxels: Number of voxels of structure 1 in the first coarse voxel of each plane
            along i, by the number of the plane.
    """
    small = np.full((1, 16, 16, 16), 0.001, np.float32)
    for place, probability in probabilities.items():
        small[(0, *place)] = probability
    label = np.zeros((32, 32, 32), np.int16)
    for plane, count in voxels.items():
        box = label[2 * plane : 2 * plane + 2, :2, :2]
        box[...] = (np.arange(8) < count).reshape(2, 2, 2)
    case = TrainingCase(
        "a", label[None].astype(np.float32), label, None, None, {}, None
    )
    return case, replace(case, image=small)


def choose(
    reach: int, *pairs: tuple[TrainingCase, TrainingCase]
) -> tuple[CoarseSpec, tuple[str, ...]]:
    cases, small = ([pair[n] for pair in pairs] for n in (0, 1))
    return choose_threshold(finder(reach), cases, small, PLAN, INFERENCE)


@pytest.mark.parametrize(
    ("probability", "reach", "threshold", "missed"),
    [
        (0.7, 0, 0.5, 0.0),
        (0.4, 0, 0.3, 0.0),
        (0.04, 0, 0.02, 0.0),
        (0.005, 0, 0.01, 0.5),  # nothing suffices: half of the structure
        (0.005, 1, 0.5, 0.0),  # its neighbour is sure
    ],
)
def test_the_highest_threshold_that_loses_nothing_is_taken(
    probability: float, reach: int, threshold: float, missed: float
) -> None:
    """Two coarse voxels beside each other have four voxels of one component each."""
    pair = case_of({(4, 0, 0): 0.9, (5, 0, 0): probability}, {4: 4, 5: 8})
    if missed:
        pair = case_of({(4, 0, 0): 0.9, (5, 0, 0): probability}, {4: 8, 5: 8})

    chosen, doubts = choose(reach, pair)

    assert chosen.thresholds == (threshold,)
    assert chosen.missed == missed
    assert chosen.reach == reach
    assert bool(doubts) == bool(missed)
    assert all("does not look at 50.0% of a component of cell" in one for one in doubts)


def test_the_worst_case_decides() -> None:
    good = case_of({(2, 0, 0): 0.9}, {2: 8})
    bad = case_of({(2, 0, 0): 0.15}, {2: 8})

    chosen, doubts = choose(0, good, bad, good)

    assert (chosen.thresholds, chosen.missed, doubts) == ((0.1,), 0, ())
    assert chosen.looked_at == pytest.approx(1 / 16**3, abs=5e-5)


def test_a_small_component_counts_as_much_as_a_large_one() -> None:
    """A metastasis of eight voxels beside a tumour of two thousand."""
    case, small = case_of({(12, 0, 0): 0.03}, {12: 8})
    case.label[:16, 16:, 16:24] = 1
    small.image[0, :8, 8:, 8:12] = 0.9

    chosen, doubts = choose(0, (case, small))

    assert (chosen.thresholds, chosen.missed, doubts) == ((0.02,), 0, ())


@pytest.mark.parametrize("pairs", [(), (case_of({}, {}),)])
def test_what_no_case_shows_is_said_and_looked_for_as_widely_as_possible(pairs) -> None:
    chosen, doubts = choose(0, *pairs)

    assert (chosen.thresholds, chosen.missed) == ((0.01,), None)
    (doubt,) = doubts
    assert "no validation case has cell" in doubt
