"""Shapes without values are those that torch gives with them."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from segpipe.networks.shapes import Shapes

LAYERS = [
    nn.Conv2d(4, 6, 3, stride=2, padding=1),
    nn.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2),
    nn.Conv2d(4, 6, (1, 3), padding="valid"),
    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.ConvTranspose2d(4, 6, 2, stride=2, dilation=3),
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.AvgPool2d(2, ceil_mode=True),
    nn.Upsample(scale_factor=2.0, mode="bilinear"),
    nn.Upsample(scale_factor=(1.5, 3), mode="nearest"),
    nn.Upsample(size=(7, 5), mode="nearest"),
    nn.Upsample(size=7, mode="bilinear"),
    nn.Dropout(0.5),
    nn.InstanceNorm2d(4),
    nn.Softmax(dim=1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("size", [(11, 8), (12, 9)])
def test_shapes_are_those_of_torch(layer: nn.Module, size: tuple[int, int]) -> None:
    image = torch.zeros(2, 4, *size)
    expected = layer(image).shape

    with Shapes():
        found = layer(image.to("meta")).shape

    assert found == expected


def test_places_of_the_largest_values_have_the_shape_of_the_values() -> None:
    with Shapes():
        found, places = nn.MaxPool2d(2, return_indices=True)(torch.zeros(1, 3, 8, 6))

    assert found.shape == places.shape == (1, 3, 4, 3)


def test_no_network_of_ours_imports_the_compiler_to_plan_tiles_and_patches() -> None:
    """It takes two seconds of each process that trains, plans, predicts or reports."""
    code = (
        "import sys\n"
        "from segpipe.networks.build import NetworkSpec\n"
        "from segpipe.networks.catalogue import NETWORKS\n"
        "from segpipe.networks.memory import forward_bytes, training_memory_gb\n"
        "from segpipe.networks.shapes import build_shapes\n"
        "for name in NETWORKS:\n"
        "    if '/' in name:\n"
        "        continue  # MONAI's, whose import takes five seconds\n"
        "    spec = NetworkSpec(name=name, in_channels=1, out_channels=2,"
        " base_channels=2, padding='same')\n"
        "    flat = spec.dimensions == 2\n"
        "    size, axis = ((256, 256, 1), 2) if flat else ((32, 32, 32), None)\n"
        "    spec = spec.for_patch(size, (1.0, 1.0, 1.0), axis)\n"
        "    forward_bytes(spec, size, axis)\n"
        "    training_memory_gb(build_shapes(spec), size, axis)\n"
        "    assert not {'torch._dynamo', 'sympy'} & set(sys.modules), name\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
