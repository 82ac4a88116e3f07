"""A section says one thing once, and nothing that its network has not."""

import pytest

from segpipe.images.values import Unions
from segpipe.networks.build import build_network
from segpipe.networks.encoder_decoder import EncoderDecoder
from segpipe.project.errors import DataError
from segpipe.training.task.section import TrainParams
from tests.support.projects import TRAIN, changed, with_loss
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


OWN = {
    "network": "maskrcnn",
    "class_weights": "none",
    "border_weights": False,
    "loss": with_loss("own"),
}


def test_a_loss_that_a_network_brings_is_of_this_network_and_it_has_no_other() -> None:
    assert changed(TRAIN, **OWN).loss.name == "own"
    with pytest.raises(ValueError, match="name own for maskrcnn, and for no other"):
        changed(TRAIN, loss=with_loss("own"))
    with pytest.raises(ValueError, match="found dice for maskrcnn"):
        changed(TRAIN, **OWN | {"loss": with_loss("dice")})


@pytest.mark.parametrize(
    ("name", "value"),
    [("class_weights", "balanced"), ("border_weights", True), ("target", "distance")],
)
def test_beside_its_own_loss_nothing_is_passed_over_in_silence(
    name: str, value: object
) -> None:
    with pytest.raises(ValueError, match="as maskrcnn brings its own loss"):
        changed(TRAIN, **OWN | {name: value})


def test_its_own_loss_keeps_all_voxels() -> None:
    loss = changed(with_loss("own"), kept_fraction=0.5)

    with pytest.raises(ValueError, match="kept_fraction: 1"):
        changed(TRAIN, **OWN | {"loss": loss})


def test_objects_do_not_overlap() -> None:
    unions = Unions(values=((7, 8), (8,)), order=(7, 8))
    plan = make_plan(
        structures=("background", "a", "b"), values=(0, 7, 8), unions=unions
    )

    with pytest.raises(DataError, match="found maskrcnn, whose objects have one class"):
        changed(TRAIN, **OWN).network_spec(plan)
