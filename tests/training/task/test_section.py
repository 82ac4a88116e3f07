"""A section says one thing once, and nothing that its network has not."""

import pytest

from segpipe.networks.build import build_network
from segpipe.networks.encoder_decoder import EncoderDecoder
from segpipe.training.task.section import TrainParams
from tests.support.projects import TRAIN, changed
from tests.support.segmenters import make_plan


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


def test_an_up_sampling_needs_a_network_that_takes_any() -> None:
    """Without it, params are recorded as before, and spec.json of a network is."""
    written = {**TRAIN.model_dump(), "upsampling": "bed_of_nails"}
    naive = {**written, "network": "encoder_decoder", "padding": "same"}
    plan = make_plan(structures=("background", "liver"), values=(0, 7))

    spec = TrainParams.model_validate(naive).network_spec(plan)
    network = build_network(spec)
    assert isinstance(network, EncoderDecoder)
    assert {up.name for up in network.up} == {"bed_of_nails"}
    assert "upsampling" not in TRAIN.model_dump()
    assert "upsampling" not in TRAIN.network_spec(plan).model_dump()
    with pytest.raises(ValueError, match="expected nothing, as unet2d has its own"):
        TrainParams.model_validate({**written, "network": "unet2d"})


def test_added_skips_are_of_the_u_net_in_2d() -> None:
    assert changed(TRAIN, network="unet2d", skips="addition").skips == "addition"
    with pytest.raises(ValueError, match="expected nothing, as vnet has its own"):
        changed(TRAIN, network="vnet", skips="addition")
