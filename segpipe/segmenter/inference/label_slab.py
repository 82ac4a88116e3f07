"""LabelSlab: segmented slices of an image, from probabilities."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Integer
from torch import Tensor

from segpipe.images.grid import Orientation, Triple
from segpipe.images.volume import SLICES
from segpipe.segmenter.inference.turning import stored
from segpipe.segmenter.preprocessing.classes import values_of
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.segmenter.tiles.layout import Box
from segpipe.segmenter.tiles.sliding_window import Slab

Maps = dict[str, np.ndarray]  # of LabelSlab, each (... n j k) as the slices come


@dataclass(frozen=True, eq=False)
class LabelSlab:
    """Segmented slices of an image, on its own grid.

    Attributes:
        start: Index of the first slice along k.
        labels: Labels in the values of the data set.
        inside: Probability of the structure that is written at each voxel, without
            contact, or its depth (``Outputs.inside``); 0 in the background.
        probabilities: Probability of each channel, if asked for.
        entropy: Entropy of the probabilities, from 0 (certain) to 1 (all of them
            equally likely), if asked for.
        disagreement: Part of the entropy that comes from differences between folds:
            entropy of the mean minus mean of the entropies; 0 for a single fold.

    Source:
        Houlsby 2011, arXiv:1112.5745, section 2, the objective of BALD.
    """

    start: int
    labels: Integer[np.ndarray, "i j n"]
    inside: Float[np.ndarray, "i j n"] | None = None
    probabilities: Float32[np.ndarray, "channel i j n"] | None = None
    entropy: Float32[np.ndarray, "i j n"] | None = None
    disagreement: Float32[np.ndarray, "i j n"] | None = None


@dataclass(frozen=True)
class Wanted:
    """What slabs hold beside labels, as ``Segmenter.slabs`` is asked for it."""

    probabilities: bool = False
    uncertainty: bool = False
    inside: bool = False

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel of all maps but probabilities."""
        return 2 + 4 * self.inside + 8 * self.uncertainty


def decode(
    shares: Float[Tensor, "n channels j k"], spec: SegmenterSpec, *, inside: bool
) -> tuple[Integer[np.ndarray, "n j k"], Float32[np.ndarray, "m j k"]]:
    """The data set's value of each voxel, and the probability of its structure.

    There is no slice of it (m = 0) unless it is asked for.
    """
    classes = spec.outputs.decode(shares)
    own = shares[:0, 0]
    if inside:
        own = spec.outputs.inside(shares, classes)
    return values_of(classes.cpu().numpy(), spec.plan), own.cpu().numpy()


def build_maps(slab: Slab, spec: SegmenterSpec, wanted: Wanted) -> Maps:
    """The maps of slices, from the outputs on the grid of the image.

    With uncertainty, the disagreement is the channel after the probabilities.
    """
    outputs, values = spec.outputs, slab.values
    shares = values[:, : outputs.channels]
    labels, own = decode(shares, spec, inside=wanted.inside)
    maps = {"labels": labels}
    if wanted.inside:
        maps["inside"] = own
    if wanted.probabilities:
        maps["probabilities"] = shares.transpose(0, 1).cpu().numpy()
    if wanted.uncertainty:
        maps["entropy"] = outputs.entropy(shares)[:, 0].cpu().numpy()
        disagreement = values[:, outputs.channels :].clamp(min=0)
        maps["disagreement"] = disagreement[:, 0].cpu().numpy()
    return maps


def label_slab(start: int, maps: Maps, frame: Orientation) -> LabelSlab:
    """The slab of maps, turned to the axes of the file."""
    return LabelSlab(
        start=start, **{name: stored(frame, array) for name, array in maps.items()}
    )


def join_columns(
    columns: Iterable[tuple[Box, Iterable[tuple[int, Maps]]]], shape: Triple
) -> Iterator[tuple[int, Maps]]:
    """The maps of whole slices, from columns that were computed one after the other.

    Args:
        columns: Boxes that cover the image, each with the slices of its maps in order.
        shape: Shape of the image, in the order in which slices come.

    Yields:
        First slice and maps, in order, once all columns are there.
    """
    whole: Maps = {}
    for (_, j, k), found in columns:
        for start, maps in found:
            for name, array in maps.items():
                if name not in whole:
                    whole[name] = np.empty(shape, dtype=array.dtype)
                whole[name][start : start + len(array), j, k] = array
    for start in range(0, shape[0], SLICES):
        part = slice(start, start + SLICES)
        yield start, {name: array[part] for name, array in whole.items()}
