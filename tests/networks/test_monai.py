"""MONAI's own networks, built by hand, are the known answer."""

from pathlib import Path
from typing import Any

import monai.networks.nets as nets
import pytest
import torch
from safetensors.torch import load_file

from segpipe.networks.build import (
    NetworkSpec,
    apply_network,
    build_network,
)
from segpipe.networks.catalogue import NETWORKS
from segpipe.networks.engine import OpenVinoNetwork
from segpipe.networks.memory import FLOAT_BYTES, OUTPUTS_KEPT, training_memory_gb
from segpipe.networks.shapes import build_shapes
from segpipe.project.errors import DataError
from segpipe.segmenter.spec import write_networks
from tests.support.layers import count_outputs
from tests.support.narrow import narrow

NAMES = [name for name in NETWORKS if name.startswith("monai/")]
VOLUME, PICTURE = (64, 32, 32), (64, 32, 1)
BY_HAND: dict[str, dict[str, Any]] = {  # all that a user of MONAI would write
    "SegResNet": {"init_filters": 8},
    "DynUNet": {
        "filters": [1, 2, 4, 8],
        "strides": [1, 2, 2, 2],
        "kernel_size": [3] * 4,
        "upsample_kernel_size": [2] * 3,
    },
    "UNETR": {"feature_size": 1, "hidden_size": 12, "mlp_dim": 12, "num_heads": 2},
    "SwinUNETR": {
        "feature_size": 12,
        "depths": (1,) * 4,
        "num_heads": (1,) * 4,
        "window_size": 2,
    },
    "MedNeXt": {"init_filters": 1, "kernel_size": 3},
    "BasicUNet": {"features": (1, 1, 2, 4, 8, 1)},
    "UNet": {"channels": (1, 2, 4, 8, 16), "strides": (2, 2, 2, 2)},
    "AttentionUnet": {"channels": (2, 4, 8, 16, 32), "strides": (2, 2, 2, 2)},
}


def spec(name: str, dimensions: int, **arguments: Any) -> NetworkSpec:
    params = narrow(name)
    given = {**params.get("arguments", {}), **arguments}
    if dimensions == 2:
        given["spatial_dims"] = 2
    made = NetworkSpec(
        name=name,
        in_channels=2,
        out_channels=3,
        base_channels=params["base_channels"],
        padding="same",
        arguments=given,
    )
    flat = dimensions == 2
    return made.for_patch(
        PICTURE if flat else VOLUME, (1.0, 1.0, 1.0), 2 if flat else None
    )


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_its_memory_is_planned_from_the_shapes_that_its_layers_give(
    name: str, dimensions: int
) -> None:
    """A patch's layers on the CPU, one by one, against the sums without any values."""
    made = spec(name, dimensions)
    size, axis = (VOLUME, None) if dimensions == 3 else (PICTURE, 2)
    of_patch, _ = training_memory_gb(build_shapes(made), size, axis)
    outputs = count_outputs(made, size, axis)
    assert of_patch == outputs * FLOAT_BYTES * OUTPUTS_KEPT / 1e9


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_it_gives_exactly_what_the_class_gives_that_is_built_by_hand(
    name: str, dimensions: int
) -> None:
    """From the same random state; and the class takes the weights."""
    made, kind = spec(name, dimensions), name.partition("/")[2]
    size = (PICTURE if dimensions == 2 else VOLUME)[:dimensions]
    by_hand = {"spatial_dims": dimensions, "in_channels": 2, "out_channels": 3}
    by_hand |= BY_HAND[kind]
    if kind == "UNETR":
        by_hand["img_size"] = size
    torch.manual_seed(1)
    expected = getattr(nets, kind)(**by_hand).eval()
    torch.manual_seed(1)
    network = build_network(made).eval()
    image = torch.randn(1, 2, *size)

    with torch.inference_mode():
        found, wanted = network(image), expected(image)
    assert found.shape == (1, 3, *size)
    assert torch.equal(found, wanted)
    assert found.std() > 0
    mine = {key.partition(".")[2]: w for key, w in network.state_dict().items()}
    theirs = expected.state_dict()
    assert mine.keys() >= dict(expected.named_parameters()).keys()  # each name once
    assert all(torch.equal(weight, theirs[key]) for key, weight in mine.items())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_the_sizes_of_its_rule_and_learns_all_its_weights(
    name: str, dimensions: int
) -> None:
    made = spec(name, dimensions)
    network = build_network(made)
    only = made.image_size
    size = list(only or [rule.input_size(rule.stride + 1) for rule in network.sizes])
    image = torch.randn(2, 2, *size)
    flat = dimensions == 2
    logits = apply_network(
        network, image.unsqueeze(-1) if flat else image, 2 if flat else None
    )
    logits.square().mean().backward()

    assert logits.shape == (2, 3, *size, *[1] * flat)
    without = {k for k, weight in network.named_parameters() if weight.grad is None}
    assert all("cross_attn" in key for key in without)  # MONAI's, not used
    assert not without or name == "monai/UNETR"
    if only is None:
        with pytest.raises(DataError, match=rf"{name}: expected a size"):
            network.output_size(size[0] + 1)


def test_a_dyn_unet_has_the_strides_and_kernels_of_the_plan_unless_told() -> None:
    """Thick slices are not pooled across until their plane is as coarse."""
    base = NetworkSpec(
        name="monai/DynUNet",
        in_channels=1,
        out_channels=2,
        base_channels=4,
        padding="same",
    )
    planned = base.for_patch((8, 64, 64), (5.0, 1.0, 1.0), None)
    told = planned.model_copy(update={"arguments": {"strides": [1, 2, [1, 2, 2]]}})

    assert [r.stride for r in build_network(planned).sizes] == [2, 16, 16]
    assert [r.stride for r in build_network(told).sizes] == [2, 4, 4]
    assert build_network(planned)(torch.zeros(1, 1, 8, 64, 64)).shape[2:] == (8, 64, 64)


def test_weights_with_two_names_are_written_once_and_read_back(tmp_path: Path) -> None:
    """MONAI's DynUNet holds its layers twice, which safetensors refuses."""
    made = spec("monai/DynUNet", 3)
    torch.manual_seed(1)
    network, other = build_network(made).eval(), build_network(made).eval()
    write_networks(tmp_path, [network])
    other.load_state_dict(load_file(tmp_path / "weights-0.safetensors"))
    image = torch.randn(1, 2, *VOLUME)

    with torch.inference_mode():
        assert torch.equal(network(image), other(image))
    assert len(network.state_dict()) == len(list(network.parameters()))


def test_small_features_have_finite_gradients_in_bf16() -> None:
    """With torch 2.13 on AVX512-BF16, and torch's own layers, this draw has none."""
    torch.manual_seed(8)
    made = NetworkSpec(
        name="monai/MedNeXt",
        in_channels=1,
        out_channels=2,
        base_channels=1,
        padding="same",
        arguments={"kernel_size": 3},
    )
    network = build_network(made).to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(1, 1, 32, 16, 16))
    logits.float().square().mean().backward()

    gradients = [w.grad for w in network.parameters() if w.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e3


def test_a_unetr_takes_the_size_of_its_patch_only() -> None:
    made = spec("monai/UNETR", 3)

    assert made.image_size == VOLUME
    with pytest.raises(RuntimeError):
        build_network(made)(torch.zeros(1, 2, 48, 32, 32))


def test_a_spec_says_arguments_and_size_only_if_there_are_any() -> None:
    """Specs that were written before MONAI's networks keep their bytes."""
    plain = NetworkSpec(
        name="vnet", in_channels=1, out_channels=2, base_channels=4, padding="same"
    )
    made = spec("monai/UNETR", 2)

    assert set(plain.model_dump()) == {
        "name",
        "in_channels",
        "out_channels",
        "base_channels",
        "padding",
    }
    assert NetworkSpec.model_validate_json(made.model_dump_json()) == made
    assert made.model_dump()["image_size"] == PICTURE[:2]
    assert len({made, spec("monai/UNETR", 2), plain}) == 2


def test_shapes_are_computed_without_a_change_of_the_random_state() -> None:
    """A training goes on with the bits that it would have had."""
    before = torch.get_rng_state()
    with torch.device("meta"):
        network = build_network(spec("monai/SwinUNETR", 3))

    assert {weight.device.type for weight in network.parameters()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_openvino_gives_the_logits_of_torch(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(spec(name, 2)).eval()
    tiles = torch.randn(2, 2, *PICTURE)

    found = OpenVinoNetwork(network, slice_axis=2, bf16=False, threads=1)(tiles)

    with torch.inference_mode():
        expected = apply_network(network, tiles, 2)
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected, atol=2e-4 * largest, rtol=0)
