"""Crops and sizes of the authors' release, and what all three networks do."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from segpipe.networks.arithmetic import Window, receptive_field
from segpipe.networks.fcn import CROPS, FCN, LAST_CROPS
from segpipe.networks.fcn8s import FCN8s
from segpipe.networks.fcn16s import FCN16s
from segpipe.networks.fcn32s import FCN32s
from segpipe.networks.layers import Padding
from tests.support.overfitting import dice_after_training

KINDS: list[type[FCN]] = [FCN32s, FCN16s, FCN8s]
CONVOLUTION, POOLING = Window(3, padding=1), Window(2, stride=2)
PLACES = (2, 5, 9, 13, 17)  # of the poolings of VGG16
VGG16 = [POOLING if place in PLACES else CONVOLUTION for place in range(18)]
RELEASE = [Window(3, padding=100), *VGG16[1:]]


def place(windows: list[Window]) -> tuple[int, float]:
    """Stride of a layer, and the place in the image of its first element's centre."""
    stride, first = 1, 0.0
    for window in windows:
        first += stride * ((window.extent - 1) / 2 - window.padding)
        stride *= window.stride
    return stride, first


def up(placed: tuple[int, float], window: Window) -> tuple[int, float]:
    """The same after a transposed convolution."""
    stride, first = placed
    stride //= window.stride
    return stride, first - stride * (window.kernel - 1) / 2


def filled(kind: type[FCN], padding: Padding) -> FCN:
    """A narrow network whose score layers have weights."""
    torch.manual_seed(0)
    network = kind(1, 3, base_channels=2, padding=padding, dropout=0.0)
    for score in (network.score, *network.skip_scores):
        nn.init.normal_(score.weight)
    return network.double().eval()


def test_the_receptive_field_is_404_pixels() -> None:
    """Table 1.

    Seeds: F2.
    """
    assert receptive_field([*RELEASE, Window(7)]) == (404, 32)


def test_the_crops_bring_the_scores_to_the_places_of_the_image() -> None:
    """From the centres of receptive fields alone: 19, 27, 31, 5 and 9.

    Seeds: F5.
    """
    pool3, pool4 = (place(RELEASE[: end + 1]) for end in PLACES[2:4])
    score = place([*RELEASE, Window(7)])
    double = Window(4, stride=2)
    twice = up(score, double)
    fused = up(twice, double)
    last = [
        up(placed, Window(2 * placed[0], stride=placed[0]))[1]
        for placed in (score, twice, fused)
    ]

    assert tuple(-first for first in last) == LAST_CROPS == (19, 27, 31)
    found = [
        (placed[1] - skip[1]) / skip[0]
        for placed, skip in ((twice, pool4), (fused, pool3))
    ]
    assert tuple(found) == CROPS == (5, 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("padding", "around"), [("valid", 100), ("same", 0)])
def test_the_output_has_the_size_that_is_announced(
    kind: type[FCN], padding: Padding, around: int
) -> None:
    """Seeds: F5."""
    network = kind(2, 3, base_channels=1, padding=padding)
    image = torch.zeros(2, 2, 32 + 2 * around, 64 + 2 * around)

    assert network(image).shape == (2, 3, 32, 64)
    assert network.output_size(32 + 2 * around) == 32
    assert network.margin == around


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_an_image_that_moves_by_32_pixels_moves_its_logits(
    kind: type[FCN], padding: Padding
) -> None:
    """Half a receptive field from the border, where convolutions see zeros.

    Seeds: F5.
    """
    network = filled(kind, padding)
    around = network.margin
    image = torch.rand(1, 1, 576 + 2 * around, 32 + 2 * around, dtype=torch.float64)
    with torch.inference_mode():
        whole, moved = network(image), network(image[:, :, 32:])

    assert torch.allclose(whole[:, :, 320:352], moved[:, :, 288:320], atol=1e-9)
    assert not torch.allclose(whole[:, :, 320:352], whole[:, :, 288:320], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_logits_are_zero_and_only_score_layers_learn_from_them(
    kind: type[FCN],
) -> None:
    """Section 4.3: zero-initialised scores.

    Seeds: F5.
    """
    torch.manual_seed(0)
    network = kind(1, 3, base_channels=4, padding="same", dropout=0.0)
    logits = network(torch.rand(1, 1, 64, 64))
    functional.cross_entropy(
        logits, torch.ones(1, 64, 64, dtype=torch.int64)
    ).backward()

    assert not logits.any()
    learning = {
        name.split(".")[0]
        for name, weight in network.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }
    assert learning <= {"score", "skip_scores"}
    assert "score" in learning
    assert not list(network.enlarge.parameters())


@pytest.mark.parametrize(
    ("kind", "padding"),
    [(FCN32s, "same"), (FCN16s, "same"), (FCN8s, "same"), (FCN8s, "valid")],
)
def test_a_narrow_network_learns_a_disc(kind: type[FCN], padding: Padding) -> None:
    """Seeds: F5, F8."""
    torch.manual_seed(0)
    network = kind(1, 2, base_channels=4, padding=padding)
    size = 64 if network.margin else 96

    ways = {"size": size, "margin": network.margin, "steps": 50}
    assert dice_after_training(network, **ways, rate=3e-3) > 0.85
