"""Looking: how far a segmenter looks, by what it would miss on held-out cases."""

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.coarse import Finder, find_structures, widen
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.spec.document import CoarseSpec
from segpipe.training.patches.sampling import TrainingCase

log = logging.getLogger(__name__)
THRESHOLDS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)  # of the probability
MISSED = 0.001  # of the voxels of a structure in a case, at most


def choose_threshold(
    finder: Finder,
    cases: Sequence[TrainingCase],
    coarse: Sequence[TrainingCase],
    plan: Plan,
    inference: Inference,
) -> CoarseSpec:
    """Choose the highest threshold by which no case loses more than MISSED.

    Args:
        finder: Coarse networks; the threshold of ``how`` does not count.
        cases: Prepared cases.
        coarse: The same cases, shrunk.
        plan: Plan of the model at full resolution.
        inference: Tiles, blending, memory and compute.

    Returns:
        ``how`` with the threshold and what it misses; the lowest threshold if all of
        them miss more, or no case has a structure.
    """
    missed = dict.fromkeys(THRESHOLDS, 0.0)
    seen = False
    for case, small in zip(cases, coarse, strict=True):
        found = find_structures(
            finder.spec, finder.networks, small.image, inference, Stopwatch()
        )
        for likely in _likely_by_structure(
            case, widen(found, finder.how.reach), finder.how.factor, plan
        ):
            seen = True
            for threshold in THRESHOLDS:
                share = float((likely <= threshold).mean())
                missed[threshold] = max(missed[threshold], share)
    good = [t for t in THRESHOLDS if missed[t] <= MISSED] if seen else []
    chosen = good[0] if good else THRESHOLDS[-1]
    log.info(
        "coarse: looks where a structure is likelier than %g; %.3f %% of a structure "
        "lie elsewhere in the worst case",
        chosen,
        100 * missed[chosen],
    )
    update = {"threshold": chosen, "missed": round(missed[chosen], 6)}
    return finder.how.model_copy(update=update)


def _likely_by_structure(
    case: TrainingCase,
    found: Float32[np.ndarray, "ci cj ck"],
    factor: tuple[int, int, int],
    plan: Plan,
) -> list[Float32[np.ndarray, " n"]]:
    """The coarse probability at the voxels of each structure that a case has."""
    label, likely = np.asarray(case.label), []
    for number in range(1, len(plan.structures)):
        places = np.nonzero(plan.legend.indexed.mask(label, number))
        if len(places[0]):
            at = tuple(axis // n for axis, n in zip(places, factor, strict=True))
            likely.append(found[at])
    return likely
