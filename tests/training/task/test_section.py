"""A section says one thing once, and nothing that its network has not."""

import pytest

from segpipe.training.task.section import TrainParams
from tests.support.projects import TRAIN


def test_params_without_a_group_are_recorded_as_before() -> None:
    assert not {"sampled_group", "group_fraction"} & set(TRAIN.model_dump())
    assert "inversion" not in TRAIN.model_dump()["augmentation"]


def test_a_budget_stands_for_epochs_and_steps_and_for_nothing_else() -> None:
    """Without it both are as written, and a record shows no trace of the option."""
    written = {**TRAIN.model_dump(), "budget": "hour"}
    short = {k: v for k, v in written.items() if k not in ("epochs", "steps_per_epoch")}

    params = TrainParams.model_validate(short)
    assert (params.epochs, params.steps_per_epoch) == (100, 80)
    rest = params.model_dump(exclude={"budget", "epochs", "steps_per_epoch"})
    assert rest == TRAIN.model_dump(exclude={"epochs", "steps_per_epoch"})
    assert "budget" not in TRAIN.model_dump()
    with pytest.raises(ValueError, match="expected nothing beside budget: hour"):
        TrainParams.model_validate(written)
    with pytest.raises(ValueError, match="expected 1 or more, found nothing"):
        TrainParams.model_validate({**short, "budget": "params"})


def test_deep_supervision_needs_a_network_with_levels() -> None:
    loss = {**TRAIN.loss.model_dump(), "deep_supervision": True}

    with pytest.raises(ValueError, match="but for resenc2d and resenc3d"):
        TrainParams.model_validate({**TRAIN.model_dump(), "loss": loss})
