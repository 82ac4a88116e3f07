"""Windows: volumes that go through the sliding window whole."""

import numpy as np
import torch

from segpipe.segmenter.tiles.emptiness import Blank
from segpipe.segmenter.tiles.sliding_window import slabs
from segpipe.segmenter.tiles.tiling import Tiling

CPU = torch.device("cpu")


def tiling(
    window: tuple[int, int, int],
    *,
    margin: tuple[int, int, int] = (0, 0, 0),
    overlap: float = 0.5,
    blending: str = "gaussian",
) -> Tiling:
    return Tiling(window, margin, overlap, blending, batch_size=3)


def cut(image: np.ndarray, each: int = 3) -> list[np.ndarray]:
    return [image[:, start : start + each] for start in range(0, image.shape[1], each)]


def whole(
    image: np.ndarray, infer, how: Tiling, *, blank: Blank | None = None
) -> np.ndarray:
    shape = image.shape[1:]
    parts = list(slabs(cut(image), shape, infer, tiling=how, device=CPU, blank=blank))
    starts = [part.start for part in parts]
    ends = [part.start + len(part.values) for part in parts]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == image.shape[1]
    return torch.cat([part.values for part in parts]).transpose(0, 1).numpy()
