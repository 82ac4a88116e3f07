"""plan: choose spacing, normalization and patches from a profile of the cases."""

import math
from collections.abc import Mapping
from functools import partial

from segpipe.dataset.case import read_cases
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import read_split
from segpipe.dataset.survey import recall_survey, survey_case
from segpipe.planning.emptiness import (
    choose_emptiness,
    find_floors,
    measure_farthest,
    recall_farthest,
)
from segpipe.planning.label_maps import RESAMPLED, kept_dice, warn_of_spacing
from segpipe.planning.models import expect_ids, plan_model
from segpipe.planning.params import ModelShape, PlanParams
from segpipe.planning.profile import build_plan
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import write_plans

SAMPLED = 20_000_000  # voxels of all cases whose intensities are held at once


def run(params: PlanParams, *, models: Mapping[str, ModelShape], paths: Paths) -> None:
    """Write the plan and the patch plans to artifacts/plan; test cases are not read.

    Args:
        params: The section plan.
        models: Name of each model to its params.
        paths: The project's folders.

    Raises:
        DataError: If a fixed value does not fit the data or a network.
    """
    cases = read_cases(paths.artifacts)
    test = set(read_split(paths.artifacts).test)
    slim = cases.model_copy(update={"cases": ()})
    known = [case for case in cases.cases if case.name not in test]
    expect_ids(models, known)
    shared = paths, slim, DataDigests.load(paths)
    most = math.ceil(SAMPLED / max(1, len(known)))
    surveys = map_cases(
        partial(survey_case, *shared, most),
        known,
        workers=params.workers,
        name=lambda case: case.name,
        describe="plan",
        known=partial(recall_survey, *shared, most),
        size=lambda case: case.image_bytes,
    )
    plan = build_plan(params, cases, surveys, paths)
    if params.emptiness == "measure":
        floors = find_floors(plan, surveys)
        farthest = map_cases(
            partial(measure_farthest, *shared, plan, floors),
            known,
            workers=params.workers,
            name=lambda case: case.name,
            describe="plan, empty voxels",
            known=partial(recall_farthest, *shared, plan, floors),
            size=lambda case: case.image_bytes,
        )
        found = choose_emptiness(floors, farthest)
        plan = plan.model_copy(update={"emptiness": found})
    some = known[:: math.ceil(len(known) / RESAMPLED)] if known else []
    kept = map_cases(
        partial(kept_dice, paths, slim, plan),
        some,
        workers=params.workers,
        name=lambda case: case.name,
        describe="plan, label maps",
        size=lambda case: case.image_bytes,
    )
    warn_of_spacing(plan, kept)
    patches = {
        name: plan_model(params, name, model, plan) for name, model in models.items()
    }
    write_plans(paths.artifacts, plan, patches)
