"""Painting: masks become one label map, one over the other, and nothing is lost unsaid.

A voxel of two masks is no loss where all structures of the one hold the other, too, as
a whole tumour holds its core: it gets the value of the inner one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int32

Holders = Mapping[int, frozenset[str]]


@dataclass(frozen=True)
class Painting:
    """A label map that masks are painted into, in their order.

    Attributes:
        array: The values; 0 where nothing is painted yet.
        overlap: Which of two values a voxel of both gets: first or last; None lets the
            last have it, and the caller refuses ``contested``.
        holders: The structures that hold each value, where structures are unions.
        contested: Voxels of two values of which one is lost: earlier and later value.
        nested: Voxels of two values of which the later lies inside the earlier.
    """

    array: Int32[np.ndarray, "i j k"]
    overlap: str | None
    holders: Holders = field(default_factory=dict)
    contested: Counter[tuple[int, int]] = field(default_factory=Counter)
    nested: Counter[tuple[int, int]] = field(default_factory=Counter)

    def paint(
        self,
        inside: Bool[np.ndarray, "*box"],
        value: int,
        box: tuple[slice | int, ...] = (),
    ) -> int:
        """Paint a mask with a value.

        Args:
            inside: Where the mask is, in the box.
            value: Its value, which is not 0.
            box: The part of the label map that the mask covers; all of it by default.

        Returns:
            The number of voxels that are contested.
        """
        part = self.array[box]
        shared = inside & (part != 0) & (part != value)
        lost = np.zeros_like(shared)
        for one, count in zip(
            *np.unique(part[shared], return_counts=True), strict=True
        ):
            before = int(one)
            if self.holders and self.holders[before] < self.holders[value]:
                self.nested[before, value] += int(count)
            else:
                lost |= shared & (part == one)
                self.contested[before, value] += int(count)
        part[inside & ~lost if self.overlap == "first" else inside] = value
        return int(lost.sum())
