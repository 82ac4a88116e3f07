"""Training of one network on one image, as small as both can be."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def disc(size: int, *, margin: int = 0, radius: float) -> tuple[Tensor, Tensor]:
    """A noisy disc in the centre of a square: the image, and its labels.

    Args:
        size: Pixels of the labels along each axis.
        margin: Pixels that the image has more on each side.
        radius: Radius in pixels.
    """
    pixels = torch.arange(size + 2 * margin) - margin - (size - 1) / 2
    inside = pixels[:, None] ** 2 + pixels**2 < radius**2
    noise = torch.randn(inside.shape, generator=torch.Generator().manual_seed(1))
    image = inside.float() + 0.1 * noise
    middle = slice(margin, margin + size)
    return image[None, None], inside[middle, middle].long()[None]


def dice_after_training(
    network: nn.Module, *, size: int, margin: int = 0, steps: int, rate: float
) -> float:
    """Dice of a disc of a quarter of the size after so many steps of Adam on it."""
    image, reference = disc(size, margin=margin, radius=size / 4)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(image), reference).backward()
        optimizer.step()
    with torch.inference_mode():
        found = network.eval()(image).argmax(dim=1)
    shared = (found * reference).sum() / (found.sum() + reference.sum())
    return 2 * shared.item()
