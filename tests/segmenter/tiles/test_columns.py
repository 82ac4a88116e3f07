from math import prod

import numpy as np
import pytest
import torch

from segpipe.images.grid import Triple
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.tiles.columns import cut_columns, held_bytes
from segpipe.segmenter.tiles.resampling import source_box
from segpipe.segmenter.tiles.tiling import Tiling

CPU = Compute(torch.device("cpu"), "fp32", 1)
TILING = Tiling((64, 64, 64), (0, 0, 0), 0.5, "gaussian", 1)
BODY = (300, 512, 512)


@pytest.mark.parametrize("goal", [BODY, (300, 400, 640)])
@pytest.mark.parametrize("limit", [0.8e9, 1.5e9, 3e9, 1e10])
def test_columns_cover_the_image_once_and_fit(goal: Triple, limit: float) -> None:
    columns = cut_columns(BODY, goal, tiling=TILING, classes=100, limit=limit)
    covered = np.zeros(goal[1:], dtype=int)
    for column in columns:
        covered[column[1:]] += 1

    assert (covered == 1).all()
    for column in columns:
        inner = source_box(column, BODY, goal)
        areas = [prod(p.stop - p.start for p in box[1:]) for box in (inner, column)]
        assert held_bytes(TILING, 100, *areas) <= limit
    assert (len(columns) == 1) == (limit == 1e10)


@pytest.mark.parametrize(
    ("window", "overlap"), [((64, 64, 64), 0.0), ((64, 1, 64), 0.5)]
)
def test_where_cuts_cost_no_tiles_there_are_as_few_as_fit(
    window: Triple, overlap: float
) -> None:
    """Tiles that do not overlap in the plane: the image is read for each column."""
    tiling = Tiling(window, (0, 0, 0), overlap, "gaussian", 1)
    all_of_it = held_bytes(tiling, 100, 512 * 512, 512 * 512)

    columns = cut_columns(BODY, BODY, tiling=tiling, classes=100, limit=all_of_it / 1.9)

    assert len(columns) == 2


def test_cuts_that_would_double_the_tiles_are_not_made() -> None:
    """A hundred classes over 512 x 512 in 1 MB: 15 x 15 tiles run at most twice."""
    columns = cut_columns(BODY, BODY, tiling=TILING, classes=100, limit=1e6)
    starts = [round(n * (512 - 64) / 14) for n in range(15)]
    runs = sum(
        sum(s < j.stop and s + 64 > j.start for s in starts)
        * sum(s < k.stop and s + 64 > k.start for s in starts)
        for _, j, k in columns
    )

    assert 225 < runs <= 450
