"""Columns: a volume in parts that run one after the other, to hold fewer sums."""

import itertools
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from segpipe.images.grid import Triple
from segpipe.segmenter.tiles.layout import Box, tile_starts, whole_box
from segpipe.segmenter.tiles.resampling import source_part
from segpipe.segmenter.tiles.sliding_window import SLAB_BYTES, SLAB_SHARE
from segpipe.segmenter.tiles.tiling import Tiling

VALUE_BYTES = 4
# Copies of a slab: before and after resampling, those in between, and of its entropy.
COPIES = 6
MOST_TILES = 2  # as many tiles run, at most, for the sake of memory


class _Cut(NamedTuple):
    """A way to cut an axis: parts, tiles of all, longest part on either grid."""

    parts: list[slice]
    tiles: int
    inner: int
    outer: int


def held_bytes(tiling: Tiling, classes: int, inner: int, outer: int) -> int:
    """Bytes of what is held of the outputs of a column, at most.

    Args:
        tiling: How the volume is cut into tiles.
        classes: Channels of the output.
        inner: Voxels of a slice of the column on the prepared grid.
        outer: Voxels of a slice of it on the grid of the image.
    """
    sums = VALUE_BYTES * classes * tiling.slices_held * inner
    slab = min(SLAB_BYTES, sums // SLAB_SHARE)
    return sums + COPIES * max(slab, VALUE_BYTES * classes * outer)


def cut_columns(
    source: Triple, goal: Triple, *, tiling: Tiling, classes: int, limit: float
) -> list[Box]:
    """Cut a volume into columns along its slices, as few as the memory allows.

    A tile that reaches two columns runs for both, so each cut costs a row of tiles.
    Cuts lie where tiles begin. Of the cuts whose columns fit, those with the fewest
    tiles are taken; if none fit, those with the smallest columns. Cuts with more than
    twice the tiles of the whole volume are not.

    Args:
        source: Shape of the prepared volume; its slices come along the first axis.
        goal: Shape of the image, along the same axes.
        tiling: How the prepared volume is cut into tiles.
        classes: Channels of the output.
        limit: Bytes that a column may hold.

    Returns:
        Boxes of the image, which cover it once; the whole image if it fits.
    """
    whole = whole_box(goal)
    inner, outer = source[1] * source[2], goal[1] * goal[2]
    if held_bytes(tiling, classes, inner, outer) <= limit:
        return [whole]
    along_j, along_k = (_cuts(source, goal, axis, tiling) for axis in (1, 2))
    plain = along_j[0].tiles * along_k[0].tiles
    best: tuple[bool, int, int, int] | None = None
    found: list[Box] = []
    for j, k in itertools.product(along_j, along_k):
        tiles = j.tiles * k.tiles
        if tiles > MOST_TILES * plain:
            continue
        held = held_bytes(tiling, classes, j.inner * k.inner, j.outer * k.outer)
        fits = held <= limit
        columns = len(j.parts) * len(k.parts)  # the image is read once for each
        rank = (not fits, tiles if fits else held, columns, held)
        if best is None or rank < best:
            best = rank
            found = [(whole[0], *pair) for pair in itertools.product(j.parts, k.parts)]
    return found


def _cuts(source: Triple, goal: Triple, axis: int, tiling: Tiling) -> list[_Cut]:
    """Ways to cut an axis of the image where tiles begin, from none to all."""
    window = tiling.window[axis]
    starts = tile_starts(source[axis], window, tiling.overlap_fraction)
    ways = []
    for count in range(1, len(starts) + 1):
        chosen = [starts[n * len(starts) // count] for n in range(1, count)]
        places = [-(-start * goal[axis] // source[axis]) for start in chosen]
        pairs = list(itertools.pairwise([0, *places, goal[axis]]))
        if any(low >= high for low, high in pairs):
            continue
        parts = [slice(*pair) for pair in pairs]
        needed = parts  # there may be hundreds, of hundreds of ways
        if source[axis] != goal[axis]:
            needed = [source_part(part, source[axis], goal[axis]) for part in parts]
        tiles = sum(
            bisect_left(starts, part.stop) - bisect_right(starts, part.start - window)
            for part in needed
        )
        lengths = [[one.stop - one.start for one in these] for these in (needed, parts)]
        ways.append(_Cut(parts, tiles, max(lengths[0]), max(lengths[1])))
    return ways
