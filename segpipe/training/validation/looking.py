"""Looking: how far a segmenter looks, by what it would miss on held-out cases."""

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from segpipe.images.grid import Triple
from segpipe.images.instances import components
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.coarse import Finder, find_structures, widen
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.spec import CoarseSpec
from segpipe.training.patches.cases import TrainingCase

log = logging.getLogger(__name__)
THRESHOLDS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)  # of the probability
MISSED = 0.001  # of the voxels of a component of a structure, at most


def choose_threshold(
    finder: Finder,
    cases: Sequence[TrainingCase],
    coarse: Sequence[TrainingCase],
    plan: Plan,
    inference: Inference,
) -> tuple[CoarseSpec, tuple[str, ...]]:
    """Choose the highest threshold by which no component loses more than MISSED.

    It is the lowest one if all of them lose more, or if the cases do not show every
    structure.

    Args:
        finder: The coarse network; the threshold of ``how`` does not count.
        cases: Prepared cases.
        coarse: The same cases, shrunk.
        plan: Plan of the model at full resolution.
        inference: Tiles, blending, memory and compute.

    Returns:
        ``how`` with the threshold, what is missed and where it looks; and sentences
        about what people must know of it.
    """
    (network,) = finder.networks
    missed = np.zeros((len(THRESHOLDS), len(plan.structures)))
    looked, seen = [], set[int]()
    for case, small in zip(cases, coarse, strict=True):
        found = find_structures(
            finder.spec, network, small.image, inference, Stopwatch()
        )
        likely = widen(found, finder.how.reach)
        looked.append([(likely > threshold).mean() for threshold in THRESHOLDS])
        for number in range(1, len(plan.structures)):
            for part in _likely_by_component(
                case, number, likely, finder.how.factor, plan
            ):
                seen.add(number)
                shares = [(part <= threshold).mean() for threshold in THRESHOLDS]
                missed[:, number] = np.maximum(missed[:, number], shares)
    at = len(THRESHOLDS) - 1
    good = np.flatnonzero(missed.max(1) <= MISSED)
    if len(good) and len(seen) == len(plan.structures) - 1:
        at = int(good[0])
    worst = round(float(missed[at].max()), 6) if seen else None
    chosen = finder.how.model_copy(
        update={
            "thresholds": (THRESHOLDS[at],),
            "missed": worst,
            "looked_at": round(float(np.mean(looked, 0)[at]), 4) if looked else None,
        }
    )
    _tell(chosen)
    return chosen, tuple(_doubts(plan, missed[at], seen))


def _tell(chosen: CoarseSpec) -> None:
    """Log where the segmenter looks."""
    missed, looked_at = chosen.missed, chosen.looked_at
    log.info(
        "coarse: it looks where a structure is likelier than %g, which is %s of the "
        "validation cases; %s of a component lie elsewhere in the worst case",
        chosen.thresholds[0],
        "an unknown share" if looked_at is None else f"{looked_at:.1%}",
        "an unknown share" if missed is None else f"{missed:.3%}",
    )


def _doubts(
    plan: Plan, missed: Float[np.ndarray, " structure"], seen: set[int]
) -> list[str]:
    """Sentences about structures that are lost, or of which nothing is known."""
    told = []
    for number, name in enumerate(plan.structures[1:], start=1):
        if number not in seen:
            told.append(
                f"coarse: no validation case has {name}: nobody knows whether the "
                "segmenter looks where it is"
            )
        elif missed[number] > MISSED:
            told.append(
                f"coarse: the segmenter does not look at {missed[number]:.1%} of a "
                f"component of {name} in a validation case; train longer, or set "
                "coarse: false"
            )
    return told


def _likely_by_component(
    case: TrainingCase,
    number: int,
    likely: Float32[np.ndarray, "ci cj ck"],
    factor: Triple,
    plan: Plan,
) -> list[Float32[np.ndarray, " n"]]:
    """The coarse probability at the voxels of each component of a structure."""
    mask = plan.legend.indexed.mask(np.asarray(case.label), number)
    parts = components(mask, connectivity="all")
    places = np.nonzero(parts)
    at = tuple(axis // n for axis, n in zip(places, factor, strict=True))
    owners = parts[places]
    order = np.argsort(owners, kind="stable")
    ends = np.flatnonzero(np.diff(owners[order])) + 1
    return [part for part in np.split(likely[at][order], ends) if len(part)]
