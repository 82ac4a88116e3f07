"""Label maps: what the spacing of the plan costs them."""

import logging

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import read_case_label
from segpipe.evaluation.measures.metrics import dice
from segpipe.evaluation.scores import LOW_CEILING, mean_known
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.preprocessing.classes import NOT_ANNOTATED, classes_of
from segpipe.segmenter.preprocessing.labels import resample_classes

log = logging.getLogger(__name__)
RESAMPLED = 8  # cases whose label maps are resampled there and back


def kept_dice(paths: Paths, cases: CaseList, plan: Plan, case: Case) -> list[float]:
    """Dice of each structure with itself, resampled to the plan's spacing and back."""
    label = read_case_label(paths.data, cases, case)
    turn = label.grid.to_canonical
    drawn = turn.apply(classes_of(label.array, plan))
    prepared = resample_classes(
        drawn, label.grid.reoriented(turn).shape_at(plan.spacing)
    )
    i, j, k = drawn.shape
    back = resample_classes(prepared, (i, j, k))
    known = drawn != NOT_ANNOTATED
    legend = plan.legend.indexed
    return [
        dice(legend.mask(drawn, number) & known, legend.mask(back, number) & known)
        for number in range(1, len(legend.structures))
    ]


def warn_of_spacing(plan: Plan, kept: list[list[float]]) -> None:
    """Warn of structures that the spacing is too coarse for.

    Args:
        plan: The plan.
        kept: Dice of each structure with itself, for some cases.
    """
    for name, column in zip(plan.structures[1:], zip(*kept, strict=True), strict=False):
        mean = mean_known(list(column))
        if mean < LOW_CEILING:
            log.warning(
                "plan: at spacing %s no network can reach more than a Dice of %.3f for "
                "%s (mean of %d cases); set plan.spacing finer",
                " x ".join(f"{value:.3g}" for value in plan.spacing),
                mean,
                name,
                len(kept),
            )
