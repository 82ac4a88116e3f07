"""Costs are counted, and agree with arithmetic."""

from experiments.leaderboard.cost import count_forward
from segpipe.networks.build import NetworkSpec


def test_eight_convolutions_cost_what_arithmetic_says() -> None:
    """Layers of 9 weights a channel pair, at each of 16 x 12 pixels, and scores."""
    spec = NetworkSpec(
        name="convolutions",
        in_channels=1,
        out_channels=2,
        base_channels=4,
        padding="same",
    )
    found = count_forward(spec, (16, 12, 1), 2)

    weights = 9 * 4 * 1 + 7 * 9 * 4 * 4 + 4 * 2
    assert found == {
        "parameters": weights + 8 * 4 + 2,
        "multiply_adds": weights * 16 * 12,
        "voxels": 16 * 12,
    }


def test_a_valid_network_has_fewer_voxels_than_its_patch() -> None:
    """U-Net turns 572 x 572 into 388 x 388, with 31,030,593 weights less one class."""
    spec = NetworkSpec(
        name="unet2d",
        in_channels=1,
        out_channels=2,
        base_channels=64,
        padding="valid",
    )
    found = count_forward(spec, (572, 572, 1), 2)

    assert found["voxels"] == 388 * 388
    assert found["parameters"] == 31_030_658
