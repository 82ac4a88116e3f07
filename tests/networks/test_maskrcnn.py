"""Mask R-CNN: its size, what its loss learns, and the map that it gives."""

import pytest
import torch
from torch import Tensor

from segpipe.networks.maskrcnn import MaskRCNN

Batch = tuple[Tensor, Tensor, Tensor]


def alone(part: Tensor) -> Tensor:
    return part


def discs() -> Batch:
    """Four noisy discs of two classes in 64 x 64 pixels, two of which touch."""
    i, j = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    reference = torch.zeros(1, 64, 64, dtype=torch.int64)
    for a, b, radius, kind in (
        (16, 16, 8, 1),
        (40, 20, 10, 2),
        (20, 46, 9, 2),
        (48, 48, 6, 1),
    ):
        reference[0, (i - a) ** 2 + (j - b) ** 2 <= radius**2] = kind
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    image = (0.7 * reference.float() + 0.1 * noise)[:, None]
    return image, reference, torch.ones(1, 64, 64)


def narrow(seed: int = 0, **options: int) -> MaskRCNN:
    torch.manual_seed(seed)
    return MaskRCNN(1, options.get("classes", 3), base_channels=4)


def test_it_has_the_parameters_of_torchvisions_but_for_background() -> None:
    """maskrcnn_resnet50_fpn has 44,401,393 with 91 classes and frozen normalization.

    That leaves out 53,120 scales and shifts; and it has a box (1025 times 4) and a mask
    (257) for background.

    Seeds: I2.
    """
    with torch.device("meta"):
        network = MaskRCNN(3, 91)
        logits = network(torch.zeros(2, 3, 64, 96))

    found = sum(weights.numel() for weights in network.parameters())
    assert found == 44_401_393 + 53_120 - 4 * 1025 - 257
    assert logits.shape == (2, 91, 64, 96)


def test_it_learns_one_image_by_heart() -> None:
    """Each disc is found with its class.

    Seeds: I2.
    """
    network = narrow().train()
    image, reference, weight = discs()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for step in range(80):
        optimizer.zero_grad()
        network.loss(image, reference, weight, seeds=[step], total=alone).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()

    with torch.inference_mode():
        shares = network.eval()(image).softmax(1)
    found = shares.argmax(1)
    for kind in (1, 2):
        both = ((found == kind) & (reference == kind)).sum()
        assert 2 * both / ((found == kind).sum() + (reference == kind).sum()) > 0.8
    likely = shares.amax(1)[found > 0]
    assert likely.min() > 0.5
    assert likely.unique().numel() <= 10  # a score for each disc


@pytest.mark.parametrize("known", [True, False])
def test_every_weight_has_a_gradient_also_where_nothing_is_known(known: bool) -> None:
    """Processes that share a batch add their gradients, so that all have the same."""
    network = narrow().train()
    image, reference, weight = discs()

    cost = network.loss(image, reference, weight * known, seeds=[1], total=alone)
    cost.backward()

    gradients = [weights.grad for weights in network.parameters()]
    assert all(one is not None and torch.isfinite(one).all() for one in gradients)
    assert any(one.any() for one in gradients if one is not None) == known


def extremes() -> dict[str, Tensor]:
    """References of 32 x 32 pixels that may be too much for a step."""
    made = {name: torch.zeros(1, 32, 32, dtype=torch.int64) for name in EXTREMES}
    made["one pixel"][0, 9, 9] = 1
    made["at the border"][0, :10, :10] = made["at the border"][0, 20:, 24:] = 1
    made["whole"][:] = 1
    i, j = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    made["crowd"][0, (i % 3 < 2) & (j % 3 < 2)] = 1  # more than regions that are drawn
    return made


EXTREMES = ("nothing", "one pixel", "at the border", "whole", "crowd")


@pytest.mark.parametrize("name", EXTREMES)
def test_a_step_on_a_patch_of_an_extreme_is_finite(name: str) -> None:
    """The loss falls in a few steps, and what is found then is an object or nothing."""
    network = narrow(classes=2).train()
    reference = extremes()[name]
    image, weight = reference[:, None].float(), torch.ones(1, 32, 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for step in range(6):
        optimizer.zero_grad()
        cost = network.loss(image, reference, weight, seeds=[step], total=alone)
        cost.backward()
        for weights in network.parameters():
            assert weights.grad is not None
            assert torch.isfinite(weights.grad).all()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        losses.append(cost.item())

    with torch.inference_mode():
        shares = network.eval()(image).softmax(1)
    assert losses[-1] < losses[0]
    assert torch.isfinite(shares).all()
    if name in ("nothing", "one pixel"):  # an object thinner than two pixels is none
        assert not shares.argmax(1).any()


def test_only_masks_of_classes_that_are_there_learn() -> None:
    """The second class of three is nowhere, so its mask has no gradient.

    Seeds: I2, L6.
    """
    network = narrow(classes=4).train()
    image, reference, weight = discs()
    reference[reference == 2] = 3

    network.loss(image, reference, weight, seeds=[1], total=alone).backward()

    learned = network.masks.layers[-1].weight.grad
    assert learned is not None
    assert learned.flatten(1).any(1).tolist() == [True, False, True]


def test_two_processes_with_an_image_each_have_the_loss_of_one_with_both() -> None:
    """By the sums of both; normalization in use, as batches differ in training."""
    network = narrow().eval()
    image, reference, weight = discs()
    other = torch.where(reference == 1, 0, reference)
    images = torch.cat([image, image.flip(3)])
    references = torch.cat([reference, other.flip(2)])
    weights = torch.cat([weight, weight])
    parts: list[Tensor] = []

    def keep(part: Tensor) -> Tensor:
        parts.append(part)
        return part

    whole = network.loss(images, references, weights, seeds=[3, 4], total=keep)
    for n in (0, 1):
        network.loss(
            images[n : n + 1],
            references[n : n + 1],
            weights[n : n + 1],
            seeds=[3 + n],
            total=keep,
        )

    torch.testing.assert_close(parts[0], parts[1] + parts[2])
    assert torch.isfinite(whole)


def test_the_same_seeds_draw_the_same_regions() -> None:
    network = narrow().eval()
    batch = discs()

    first, again, other = (
        network.loss(*batch, seeds=[seed], total=alone).item() for seed in (5, 5, 6)
    )

    assert first == again
    assert first != other


def test_an_image_is_a_multiple_of_16() -> None:
    network = narrow()

    assert network.input_size(100) == 112
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 1, 48, 16)).shape == (1, 3, 48, 16)
