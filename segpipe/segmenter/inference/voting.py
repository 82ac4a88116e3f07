"""Voting: the mean of the probabilities of networks and mirrored tiles."""

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from jaxtyping import Float32
from torch import Tensor

from segpipe.project.errors import DataError
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.spec import SegmenterSpec

Logits = Callable[[Tensor], Tensor]  # from tiles (B c i j k)


def vote(
    networks: Sequence[Logits],
    tiles: Float32[Tensor, "B c i j k"],
    spec: SegmenterSpec,
    inference: Inference,
    *,
    with_disagreement: bool,
) -> Float32[Tensor, "B classes oi oj ok"]:
    """Mean of the probabilities of all networks and mirrorings.

    Args:
        networks: One for each fold.
        tiles: Input along the canonical axes.
        spec: What the channels mean, and the temperature of each network.
        inference: Precision, and whether tiles are mirrored.
        with_disagreement: Whether a last channel holds the disagreement of the folds.

    Raises:
        DataError: If a logit is not finite. A sum of finite logits is finite unless
            they are near 1e38, and summing costs far less than the network.
    """
    axis, outputs = spec.slice_axis, spec.outputs
    axes = [2 + n for n in range(3) if n != axis] if inference.mirror else []
    flips = [f for n in range(len(axes) + 1) for f in combinations(axes, n)]
    sums: list[Tensor] = []
    total: Tensor | None = None
    own: Tensor | None = None  # sum of the entropies of the folds
    with torch.inference_mode(), inference.compute.autocast():
        for network, temperature in zip(networks, spec.temperatures, strict=True):
            fold: Tensor | None = None
            for flip in flips:
                seen = tiles.flip(flip) if flip else tiles
                logits = network(seen).float()
                sums.append(logits.div_(temperature).sum())
                share = outputs.activate(logits)
                del logits
                share = share.flip(flip) if flip else share
                fold = share if fold is None else fold.add_(share)
            assert fold is not None
            fold.div_(len(flips))
            if with_disagreement:
                entropy = outputs.entropy(fold)
                own = entropy if own is None else own.add_(entropy)
            total = fold if total is None else total.add_(fold)
        assert total is not None
        if not torch.stack(sums).isfinite().all():
            raise DataError(
                "expected finite logits from the networks, found NaN or infinity; "
                "look for extreme values in the image, and fetch the segmenter "
                "again"
            )
        total.div_(len(networks))
        if own is None:
            return total
        apart = outputs.entropy(total) - own / len(networks)
        return torch.cat([total, apart], dim=1)
