"""Known values of the public code, dynamic-network-architectures 0.4.4.

They are those of its ``ResidualEncoderUNet`` with the arguments of nnU-Net v2's
``ResEncUNetPlanner``: bias, instance normalization with eps 1e-5, leaky ReLU.
"""

import pytest
import torch
from torch import Tensor, nn

from segpipe.networks.resenc import ResEnc
from segpipe.networks.resenc2d import ResEnc2d
from segpipe.networks.resenc3d import ResEnc3d
from segpipe.networks.topology import choose_topology

THICK = choose_topology((16, 32, 32), (3.0, 1.0, 1.0))


def fill(network: nn.Module) -> None:
    """Give each tensor values that depend on nothing but its shape."""
    for weight in network.parameters():
        values = 0.3 * torch.cos(torch.arange(weight.numel(), dtype=torch.float32))
        weight.data = values.view(weight.shape)


def wave(*shape: int) -> Tensor:
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float32) * 0.37).view(shape)


def figures(levels: tuple[Tensor, ...]) -> list[tuple[float, float]]:
    """Mean square and the eighth value of each level."""
    return [(x.square().mean().item(), x.flatten()[7].item()) for x in levels]


def test_it_computes_what_the_public_code_computes_at_every_level() -> None:
    network = ResEnc3d(2, 3, base_channels=4, topology=THICK)
    fill(network)

    levels = network.levels(wave(1, 2, 16, 32, 32))
    assert [tuple(logits.shape[2:]) for logits in levels] == [
        (16, 32, 32),
        (16, 16, 16),
        (8, 8, 8),
    ]
    assert figures(levels) == [
        pytest.approx(known, abs=1e-4)
        for known in [(0.077776, 0.57266), (0.15675, 0.55521), (0.199881, 0.64522)]
    ]


def test_without_levels_it_gives_the_first_of_them() -> None:
    network = ResEnc3d(1, 2, base_channels=2, topology=THICK).eval()
    image = wave(1, 1, 16, 32, 32)

    assert torch.equal(network(image), network.levels(image)[0])


def test_each_input_of_a_batch_is_normalized_by_itself() -> None:
    network = ResEnc3d(1, 2, base_channels=2, topology=THICK)
    image = wave(2, 1, 16, 32, 32) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1, 1)

    torch.testing.assert_close(network(image)[1:], network(image[1:]))


@pytest.mark.parametrize(
    ("kind", "most", "count"), [(ResEnc2d, 512, 8), (ResEnc3d, 320, 6)]
)
def test_channels_double_up_to_the_papers_bound(
    kind: type[ResEnc], most: int, count: int
) -> None:
    with torch.device("meta"):
        network = kind(1, 2)  # type: ignore[call-arg]

    widths = [stage[0].last.convolution.out_channels for stage in network.stages]
    assert widths == [min(32 * 2**n, most) for n in range(count)]


def test_a_block_begins_as_its_shortcut() -> None:
    """The last normalization of a block begins with the scale 0."""
    block = ResEnc3d(1, 2, base_channels=4, topology=THICK).stages[1][1]
    features = torch.rand(1, 8, 8, 8, 8)

    torch.testing.assert_close(block(features), features)


def test_a_patch_too_small_to_pool_has_one_stage_and_logits() -> None:
    topology = choose_topology((4, 4, 4), (1.0, 1.0, 1.0))
    network = ResEnc3d(1, 2, base_channels=2, topology=topology)

    assert network(wave(1, 1, 4, 4, 4)).shape == (1, 2, 4, 4, 4)
    assert len(network.levels(wave(1, 1, 4, 4, 4))) == 1


def test_it_learns_one_sample_by_heart() -> None:
    torch.manual_seed(0)
    topology = choose_topology((8, 16, 16), (1.0, 1.0, 1.0))
    network = ResEnc3d(1, 2, base_channels=4, topology=topology)
    reference = (torch.rand(1, 8, 16, 16) < 0.3).long()
    image = reference[:, None] + 0.2 * torch.randn(1, 1, 8, 16, 16)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(image), reference)
        loss.backward()
        optimizer.step()

    found = network(image).argmax(1)
    assert (found == reference).float().mean() > 0.97
