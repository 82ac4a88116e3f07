"""Looking: the threshold is the highest that loses next to nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.coarse import Finder
from segpipe.segmenter.inference.inference import Inference
from segpipe.training.patches.sampling import TrainingCase
from segpipe.training.validation.looking import choose_threshold
from tests.support.segmenters import NONE, make_plan, make_segmenter, with_coarse

INFERENCE = Inference(
    0.5, "gaussian", 1.0, False, Compute(torch.device("cpu"), "fp32", 1)
)
FACTOR = (2, 2, 2)
PLAN = make_plan(normalization=(NONE,))


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
        probabilities: Of coarse voxels; .001 elsewhere.
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
    case = TrainingCase("a", label[None], label, None, None, {}, None)
    return case, replace(case, image=small)


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
    """Two coarse voxels beside each other have four voxels of the structure each."""
    case, small = case_of({(4, 0, 0): 0.9, (5, 0, 0): probability}, {4: 4, 5: 4})

    chosen = choose_threshold(finder(reach), [case], [small], PLAN, INFERENCE)

    assert chosen.threshold == threshold
    assert chosen.missed == missed
    assert chosen.reach == reach


def test_the_worst_case_decides() -> None:
    good = case_of({(2, 0, 0): 0.9}, {2: 8})
    bad = case_of({(2, 0, 0): 0.15}, {2: 8})
    cases, small = zip(good, bad, good, strict=True)

    chosen = choose_threshold(finder(0), cases, small, PLAN, INFERENCE)

    assert (chosen.threshold, chosen.missed) == (0.1, 0)


def test_without_any_structure_it_looks_as_widely_as_it_can() -> None:
    case, small = case_of({}, {})

    for cases in ([], [case]):
        chosen = choose_threshold(
            finder(0), cases, [small] * len(cases), PLAN, INFERENCE
        )
        assert (chosen.threshold, chosen.missed) == (0.01, 0)
