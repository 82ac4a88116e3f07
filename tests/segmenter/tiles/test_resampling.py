import itertools
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segpipe.segmenter.tiles.resampling import (
    resampled_box,
    resampled_slabs,
    source_box,
)
from segpipe.segmenter.tiles.sliding_window import Slab

SOURCE = (13, 11, 9)


@pytest.mark.parametrize("goal", [(9, 8, 7), (30, 5, 12), (4, 20, 7), (23, 31, 3)])
@pytest.mark.parametrize("cuts", [(3, 4, 8), (1, 2), (5,), ()])
def test_slabs_resample_like_the_whole_volume(goal, cuts) -> None:
    values = torch.rand(9, 2, 8, 7, generator=torch.Generator().manual_seed(0))
    ends = [0, *cuts, 9]
    parts = (Slab(a, values[a:b]) for a, b in itertools.pairwise(ends))
    expected = F.interpolate(values.transpose(0, 1)[None], size=goal, mode="trilinear")[
        0
    ]

    slabs = list(resampled_slabs(parts, (9, 8, 7), goal))

    assert [slab.start for slab in slabs] == np.cumsum(
        [0, *(len(slab.values) for slab in slabs[:-1])]
    ).tolist()
    result = torch.cat([slab.values for slab in slabs]).transpose(0, 1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "goal",
    [SOURCE, (26, 20, 9), (7, 11, 17), (13, 5, 30), (4, 11, 17), (5, 5, 9)],
)
@pytest.mark.parametrize("each", [1, 4])
def test_a_box_is_resampled_as_in_the_whole_volume(goal, each: int) -> None:
    values = torch.rand(13, 2, 11, 9, generator=torch.Generator().manual_seed(0))
    box = tuple(slice(size // 4, 3 * size // 4) for size in goal)
    inner = source_box(box, SOURCE, goal)

    def parts(i: slice, j: slice, k: slice):
        for start in range(i.start, i.stop, each):
            stop = min(i.stop, start + each)
            yield Slab(start, values[start:stop, :, j, k])

    whole = list(resampled_slabs(parts(*map(slice, (0, 0, 0), SOURCE)), SOURCE, goal))
    found = list(resampled_box(parts(*inner), SOURCE, goal, box))
    expected = torch.cat([slab.values for slab in whole])

    assert found[0].start == box[0].start
    assert all(a.start + len(a.values) == b.start for a, b in pairwise(found))
    torch.testing.assert_close(
        torch.cat([slab.values for slab in found]),
        expected[box[0], :, box[1], box[2]],
        atol=1e-6,
        rtol=0,
    )
