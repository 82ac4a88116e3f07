"""Estimates from the shapes against the bytes that torch's allocator holds."""

import itertools

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.networks.catalogue import NETWORKS
from segpipe.networks.memory import (
    FLOAT_BYTES,
    OUTPUTS_KEPT,
    WEIGHTS_KEPT,
    forward_bytes,
    training_memory_gb,
)
from segpipe.networks.shapes import build_shapes
from tests.support.layers import count_outputs


def spec(
    name: str, size: tuple[int, int, int] = (32, 32, 32), *, width: int = 16
) -> NetworkSpec:
    made = NetworkSpec(
        name=name, in_channels=1, out_channels=3, base_channels=width, padding="same"
    )
    axis = 0 if made.dimensions == 2 else None
    return made.for_patch(size, (1.0, 1.0, 1.0), axis)


def peak_of(record: profile) -> int:
    events = [
        e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"
    ]
    held = itertools.accumulate(
        event.nbytes() for event in sorted(events, key=lambda e: e.start_ns())
    )
    return max(held)


def measured_peak(network: NetworkSpec, size: tuple[int, int, int]) -> int:
    """Most bytes that torch's allocator held at once, by the profiler's record."""
    built = build_network(network).eval()
    axis = 0 if network.dimensions == 2 else None
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record,
    ):
        image = torch.zeros(1, network.in_channels, *size)
        logits = apply_network(built, image, axis).float()
        logits.div_(1.0).softmax(dim=1)
    return peak_of(record)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("unet2d", (1, 256, 192)),
        ("unet3d", (32, 48, 40)),
        ("vnet", (32, 48, 32)),
        ("resenc2d", (1, 256, 192)),
        ("context", (1, 256, 192)),
        ("segnet", (1, 256, 192)),
        ("deconvnet", (1, 256, 224)),
        ("fcn8s", (1, 448, 384)),
        ("resenc3d", (32, 48, 40)),
    ],
)
def test_the_bytes_of_a_forward_pass_are_those_that_torch_holds(
    name: str, size: tuple[int, int, int]
) -> None:
    """The estimate is at most twice too large or too small.

    Narrow networks, which nobody trains, take more, because oneDNN pads to 16 channels.
    """
    network = spec(name, size)
    predicted = forward_bytes(network, size, 0 if network.dimensions == 2 else None)

    measured = measured_peak(network, size)

    assert 0.5 < predicted / measured < 2


def test_the_copies_of_heavy_weights_are_counted() -> None:
    """Those of the 7 x 7 convolution, 256 to 2048 channels, that was a dense layer."""
    network = spec("fcn8s", width=32)
    predicted = forward_bytes(network, (1, 64, 64), 0)

    assert predicted == pytest.approx(2 * 256 * 2048 * 7 * 7 * FLOAT_BYTES, rel=0.01)
    assert 0.5 < predicted / measured_peak(network, (1, 64, 64)) < 2


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("unet2d", (1, 128, 96)),
        ("unet3d", (24, 32, 24)),
        ("vnet", (16, 32, 32)),
        ("resenc2d", (1, 128, 96)),
        ("context", (1, 128, 96)),
        ("segnet", (1, 128, 96)),
        ("fcn8s", (1, 128, 96)),
        ("resenc3d", (24, 32, 24)),
    ],
)
def test_the_memory_of_a_training_step_is_near_to_what_torch_holds(
    name: str, size: tuple[int, int, int]
) -> None:
    """The estimate is at most three times too large or too small.

    Weights, momentum and the best weights are not of the step. In-place ReLU is
    counted, although it shares the memory of its input.
    """
    planned = spec(name, size)
    axis = 0 if planned.dimensions == 2 else None
    of_patch, of_weights = training_memory_gb(build_shapes(planned), size, axis)
    network = build_network(planned)
    values = sum(weights.numel() for weights in network.parameters())
    before = (WEIGHTS_KEPT - 1) * 4 * values
    predicted = (of_patch + of_weights) * 1e9 - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        apply_network(network, torch.zeros(1, 1, *size), axis).mean().backward()

    assert 1 / 3 < predicted / peak_of(record) < 3


def test_the_weights_of_the_papers_v_net_are_counted_whole() -> None:
    """65,175,314 parameters, as tests/networks/test_vnet.py counts them by layer."""
    paper = NetworkSpec(
        name="vnet", in_channels=1, out_channels=2, base_channels=16, padding="same"
    )
    _, of_weights = training_memory_gb(build_shapes(paper), (32, 32, 32), None)

    assert of_weights == pytest.approx(65_175_314 * FLOAT_BYTES * WEIGHTS_KEPT / 1e9)


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if "/" not in name and name != "maskrcnn"]
)
def test_the_shapes_are_those_that_the_layers_give(name: str) -> None:
    """A tile's layers on the CPU, one by one, against the sums without any values.

    Mask R-CNN's heads see as many regions as it finds.
    """
    flat = spec(name).dimensions == 2
    size, axis = ((1, 256, 256), 0) if flat else ((32, 32, 32), None)
    network = spec(name, size, width=2)
    of_patch, _ = training_memory_gb(build_shapes(network), size, axis)
    outputs = count_outputs(network, size, axis)
    assert of_patch == outputs * FLOAT_BYTES * OUTPUTS_KEPT / 1e9
