"""V-Net's constants: Milletari 2016, arXiv:1606.04797."""

import torch
from torch import nn

from segpipe.networks.vnet import VNet

# Table 1: the receptive field of each stage, left then right.
FIELDS = [5, 22, 72, 172, 372, 476, 528, 546, 551]


def test_the_papers_network_has_65_175_314_parameters() -> None:
    """Seeds: N11."""
    with torch.device("meta"):
        network = VNet(1, 2)

    assert sum(p.numel() for p in network.parameters()) == 65_175_314


def widest(module: nn.Module) -> list[int]:
    """Kernel sizes of a stage's convolutions."""
    kinds = (nn.Conv3d, nn.ConvTranspose3d)
    return [
        layer.kernel_size[0] for layer in module.modules() if isinstance(layer, kinds)
    ]


def test_the_receptive_fields_are_table_1s() -> None:
    """A kernel k adds k - 1 steps; a step is the product of the strides before it.

    Seeds: N11.
    """
    with torch.device("meta"):
        network = VNet(1, 2)
    fields, field, step = [], 1, 1
    for level, stage in enumerate(network.stages):
        if level:
            (kernel,) = widest(network.shrink[level - 1])
            field += (kernel - 1) * step
            step *= 2
        field += sum((kernel - 1) * step for kernel in widest(stage))
        fields.append(field)
    for grow, unite in zip(network.grow, network.unite, strict=True):
        (kernel,) = widest(grow)
        step //= 2
        field += (kernel - 1) * step
        field += sum((kernel - 1) * step for kernel in widest(unite))
        fields.append(field)

    assert fields == FIELDS


def test_the_left_stages_see_what_table_1_says() -> None:
    """Measured by the gradient. For the right side, table 1 is a bound: it counts one
    step for each up-convolution, whose outputs come from a single input.
    """
    network = VNet(1, 2, base_channels=1)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.05)
    seen = []
    volume = torch.ones(1, 1, 16, 16, 400, requires_grad=True)
    for stage in network.stages:
        stage.register_forward_hook(lambda *call: seen.append(call[2]))
    network(volume)

    for features, field in zip(seen, FIELDS[:5], strict=True):
        center = features[0, 0, 0, 0, features.shape[-1] // 2]
        (gradient,) = torch.autograd.grad(center, volume, retain_graph=True)
        places = gradient.amax(dim=(0, 1, 2, 3)).nonzero()
        assert places.max() - places.min() + 1 == field


def test_the_papers_volume_comes_out_in_its_size() -> None:
    """Figure 2: 128 x 128 x 64."""
    with torch.device("meta"):
        network, volume = VNet(1, 2), torch.empty(1, 1, 128, 128, 64)

    assert network(volume).shape == (1, 2, 128, 128, 64)


def test_a_stage_learns_a_residual() -> None:
    """With zero weights a stage returns its input."""
    network = VNet(1, 2, base_channels=2)
    stage = network.stages[0]
    for layer in stage.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.zeros_(layer.weight)
    image = torch.rand(1, 1, 16, 16, 16)
    twice = image.expand(1, 2, 16, 16, 16)

    assert torch.equal(stage(image, residual=twice), twice)


def test_several_channels_repeat_cyclically_in_the_first_residual() -> None:
    network = VNet(3, 2, base_channels=4)
    stage = network.stages[0]
    for layer in stage.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.zeros_(layer.weight)
    outputs: list[torch.Tensor] = []
    stage.register_forward_hook(lambda *call: outputs.append(call[2]))
    image = torch.rand(1, 3, 16, 32, 16)

    assert network(image).shape == (1, 2, 16, 32, 16)
    assert torch.equal(outputs[0], image[:, [0, 1, 2, 0]])


def test_there_is_neither_pooling_nor_normalization() -> None:
    with torch.device("meta"):
        network = VNet(1, 2)
    names = {type(layer).__name__ for layer in network.modules()}

    assert not [name for name in names if "Pool" in name or "Norm" in name]
    assert "ReLU" not in names
    assert "PReLU" in names


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = VNet(1, 2, base_channels=4)
    network(torch.randn(1, 1, 16, 16, 32)).square().sum().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
