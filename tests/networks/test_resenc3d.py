"""Parameters of the public code, dynamic-network-architectures 0.4.4, in 3-D."""

import torch

from segpipe.networks.resenc3d import ResEnc3d
from segpipe.networks.topology import choose_topology


def parameters(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_papers_medium_preset_has_102_350_575_parameters() -> None:
    """With one channel and three classes, on a patch of 128 voxels a side."""
    with torch.device("meta"):
        network = ResEnc3d(1, 3)

    assert parameters(network) == 102_350_575
    assert network.stride == 32


def test_thick_slices_have_140_403_314_parameters_and_a_stride_for_each_axis() -> None:
    topology = choose_topology((20, 320, 256), (4.0, 0.7, 0.7))
    with torch.device("meta"):
        network = ResEnc3d(1, 3, topology=topology)

    assert parameters(network) == 140_403_314
    assert [rule.input_size(17) for rule in network.sizes] == [20, 64, 64]
    assert [rule.input_size(65) for rule in network.sizes] == [68, 128, 128]
