"""Inference: how a segmenter runs."""

from dataclasses import dataclass

from segpipe.segmenter.compute import Compute
from segpipe.segmenter.settings import Blending, LookFirst, SkipEmpty


@dataclass(frozen=True)
class Inference:
    """How a segmenter runs; results may differ slightly between choices.

    Attributes:
        overlap_fraction: Share of a tile that its neighbour covers too.
        blending: Weights of overlapping tiles.
        memory_gb: Memory for a forward pass and the outputs that are held. The size of
            the tiles follows from it, and the columns in which an image is computed.
        mirror: Whether probabilities are averaged over mirrored images, too.
        compute: Device, precision and threads.
        skip_empty: ``auto`` does not compute what the plan knows to hold no structure.
        coarse: ``auto`` looks only where coarse networks, if there are any, found
            structures.
    """

    overlap_fraction: float
    blending: Blending
    memory_gb: float
    mirror: bool
    compute: Compute
    skip_empty: SkipEmpty = "never"
    coarse: LookFirst = "auto"
