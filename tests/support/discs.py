"""A noisy disc of 48 pixels, which a network is to learn by heart."""

import torch
from torch.nn import functional as F

from segpipe.networks.catalogue import Network

SIZE = 48


def draw_disc(*, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the image (1 1 i j), of mean near 0, and where the disc is (1 i j)."""
    axis = torch.arange(float(SIZE)) - SIZE / 2
    disc = axis[:, None] ** 2 + (axis - 3) ** 2 < 12**2
    noise = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return (2 * disc + 0.2 * noise - 0.5)[None, None], disc[None]


def learn_disc(network: Network, *, steps: int, learning_rate: float) -> float:
    """Train on the disc alone; the Dice of what the network then finds.

    Zeros stand around the image as far as the network needs them.
    """
    image, disc = draw_disc()
    side = (network.input_size(SIZE) - SIZE) // 2
    image = F.pad(image, (side,) * 4)
    out = (network.output_size(SIZE + 2 * side) - SIZE) // 2
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(image)[..., out : out + SIZE, out : out + SIZE]
        F.cross_entropy(logits, disc.long()).backward()
        optimizer.step()
    with torch.no_grad():
        logits = network.eval()(image)[..., out : out + SIZE, out : out + SIZE]
    found = logits.argmax(1) == 1
    return float(2 * (found & disc).sum() / (found.sum() + disc.sum()))
