"""Params of planning: what is refused, and what a model must have."""

import pytest
from pydantic import ValidationError

from segpipe.planning.params import ModelShape, PlanParams
from tests.support.projects import PLAN, TRAIN

OLD = PLAN.model_dump(exclude={"emptiness", "percentiles", "polarity"})


def test_the_params_of_an_older_project_are_what_they_were() -> None:
    params = PlanParams(**OLD)

    assert (params.emptiness, params.polarity) == ("never", "as_is")
    assert params.percentiles == (1.0, 99.8)


@pytest.mark.parametrize("percentiles", [(-0.1, 99.0), (1.0, 100.1)])
def test_a_percentile_is_from_0_to_100(percentiles: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="percentiles"):
        PlanParams(**OLD, percentiles=percentiles)


def test_a_model_has_the_fields_that_decide_on_patches() -> None:
    assert isinstance(TRAIN, ModelShape)
    assert not isinstance(PLAN, ModelShape)
