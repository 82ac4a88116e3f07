"""Pretrained weights are those that fit."""

from pathlib import Path

import pytest
import torch

from segpipe.networks.build import build_network
from segpipe.project.errors import DataError
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.training.task.pretrained import (
    learn_only,
    load_pretrained,
    start_from,
)
from tests.support.segmenters import make_plan, make_segmenter, save_segmenter


@pytest.fixture
def named(tmp_path: Path) -> str:
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    save_segmenter(tmp_path / "old", plan, network="unet3d")
    return f"old@{segmenter_digest(tmp_path / 'old')[:12]}"


@pytest.fixture
def old(named: str, tmp_path: Path) -> Segmenter:
    found = load_pretrained(named, tmp_path)
    assert found is not None
    return found


def test_weights_that_fit_are_copied(old: Segmenter) -> None:
    torch.manual_seed(7)
    network = build_network(old.spec.network)
    start_from(network, old, "unet3d")

    for name, value in network.state_dict().items():
        assert torch.equal(value, old.networks[0].state_dict()[name])


def test_for_other_structures_only_the_last_layer_is_new(old: Segmenter) -> None:
    classes = old.spec.network.out_channels + 1
    spec = old.spec.network.model_copy(update={"out_channels": classes})
    network = build_network(spec)
    start_from(network, old, "unet3d")

    before = old.networks[0].state_dict()
    new = {
        name
        for name, value in network.state_dict().items()
        if value.shape != before[name].shape or not torch.equal(value, before[name])
    }
    assert new == {"classify.weight", "classify.bias"}


def test_none_starts_from_nothing(tmp_path: Path) -> None:
    assert load_pretrained("none", tmp_path) is None


@pytest.mark.parametrize("text", ["old", "old@000000000000"])
def test_a_name_without_its_digest_is_told_the_right_one(
    text: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"expected {named}.*found {text}"):
        load_pretrained(text, tmp_path)


def test_another_network_is_refused(old: Segmenter) -> None:
    network = build_network(old.spec.network)

    with pytest.raises(DataError, match="expected a vnet, found a unet3d"):
        start_from(network, old, "vnet")


def test_a_context_module_takes_the_front_end_that_was_trained_alone(
    tmp_path: Path,
) -> None:
    """All weights but those of the module, as Yu and Koltun 2016 train it."""
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    save_segmenter(tmp_path / "old", plan, network="dilated")
    front = Segmenter.load(tmp_path / "old")
    network = build_network(front.spec.network.model_copy(update={"name": "context"}))
    begun = network.state_dict()["context.layers.0.weight"].clone()
    start_from(network, front, "context")

    found = network.state_dict()
    for name, value in front.networks[0].state_dict().items():
        assert torch.equal(found[name], value)
    assert torch.equal(found["context.layers.0.weight"], begun)


def test_another_width_is_refused_where_nothing_fits(old: Segmenter) -> None:
    spec = {"base_channels": 4, "out_channels": 9}
    network = build_network(old.spec.network.model_copy(update=spec))

    with pytest.raises(DataError, match="fit base_channels, found those of 2"):
        start_from(network, old, "unet3d")


@pytest.mark.parametrize(
    ("old", "new"), [("segnet", "segnet"), ("fcn32s", "fcn16s"), ("unet2d", "unet2d")]
)
def test_biases_alone_are_no_beginning(old: str, new: str, tmp_path: Path) -> None:
    """Those of the last layer fit whatever the width."""
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    save_segmenter(tmp_path / "old", plan, network=old)
    first = Segmenter.load(tmp_path / "old")
    changes = {"name": new, "base_channels": 4}
    network = build_network(first.spec.network.model_copy(update=changes))

    with pytest.raises(DataError, match="fit base_channels, found those of 2"):
        start_from(network, first, new)


def test_the_large_context_module_takes_nothing_from_the_basic_one(
    tmp_path: Path,
) -> None:
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    save_segmenter(tmp_path / "old", plan, network="context")
    basic = Segmenter.load(tmp_path / "old")
    name = {"name": "context_large"}
    network = build_network(basic.spec.network.model_copy(update=name))

    with pytest.raises(DataError, match="expected a context_large or a dilated"):
        start_from(network, basic, "context_large")


def test_fcn16s_takes_over_fcn32s_and_fcn8s_takes_over_fcn16s(tmp_path: Path) -> None:
    """Long 2015, section 4.2: only the scores and the up-sampling of a stage are new.

    Seeds: F6.
    """
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    new = {
        "fcn16s": {"twice.0.weight", "skip_scores.0.weight", "skip_scores.0.bias"},
        "fcn8s": {"twice.1.weight", "skip_scores.1.weight", "skip_scores.1.bias"},
    }
    for before, after in (("fcn32s", "fcn16s"), ("fcn16s", "fcn8s")):
        save_segmenter(tmp_path / before, plan, network=before)
        digest = segmenter_digest(tmp_path / before)[:12]
        old = load_pretrained(f"{before}@{digest}", tmp_path)
        assert old is not None
        torch.nn.init.normal_(old.networks[0].score.weight)
        spec = old.spec.network.model_copy(update={"name": after})
        network = build_network(spec)
        start_from(network, old, after)
        found, known = network.state_dict(), old.networks[0].state_dict()

        assert set(found) - set(known) == new[after]
        assert all(torch.equal(found[name], known[name]) for name in known)
        assert not network.skip_scores[-1].weight.any()


def test_a_stage_is_not_left_out() -> None:
    """FCN-8s starts from FCN-16s, or goes on from FCN-8s."""
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    old = make_segmenter(plan, network="fcn32s")
    spec = old.spec.network.model_copy(update={"name": "fcn8s"})
    network = build_network(spec)

    with pytest.raises(DataError, match="expected a fcn8s or a fcn16s, found a fcn32s"):
        start_from(network, old, "fcn8s")


def test_only_a_part_of_the_weights_learns(old: Segmenter) -> None:
    network = build_network(old.spec.network)
    learn_only(network, "all")
    assert all(weight.requires_grad for weight in network.parameters())

    learn_only(network, "classify")

    learned = {name for name, w in network.named_parameters() if w.requires_grad}
    assert learned == {"classify.weight", "classify.bias"}
    with pytest.raises(DataError, match=r"found clas; its layers are .*classify"):
        learn_only(network, "clas")
