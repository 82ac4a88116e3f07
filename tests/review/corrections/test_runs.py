"""What a brush changed, voxel by voxel."""

import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.review.corrections.runs import MOST, Run, apply_runs

SHAPE = (4, 3, 5)


def test_voxels_are_counted_with_k_fastest_and_the_later_run_counts() -> None:
    mask = np.zeros(SHAPE, np.int16)
    changed = apply_runs(mask, [(0, 2, 1), (37, 3, 1), (38, 1, 0)], values=(0, 1, 3))

    wanted = np.zeros(SHAPE, np.int16)
    wanted[0, 0, 0] = wanted[0, 0, 1] = 1
    # 37 = (2 * 3 + 1) * 5 + 2
    wanted[2, 1, 2] = wanted[2, 1, 4] = 1
    assert (changed == wanted).all()
    assert not mask.any()


def test_a_mask_whose_axes_lie_otherwise_in_memory_is_changed_alike() -> None:
    mask = np.asfortranarray(np.arange(60, dtype=np.int16).reshape(SHAPE) % 2)
    runs: list[Run] = [(17, 20, 3)]
    wanted = mask.copy(order="C").ravel()
    wanted[17:37] = 3

    assert (apply_runs(mask, runs, values=(0, 1, 3)).ravel() == wanted).all()


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([(-1, 2, 1)], "from 0 to 59"),
        ([(0, 0, 1)], "from 0 to 59"),
        ([(0, -5, 1)], "from 0 to 59"),
        ([(59, 2, 1)], "from 0 to 59"),
        ([(10**15, 1, 1)], "from 0 to 59"),
        ([(0, 10**15, 1)], "from 0 to 59"),
        ([(0, 1, 2)], "the values 0, 1, 3"),
        ([(0, 1, -1)], "the values 0, 1, 3"),
        ([(0, 60, 1)] * 9, "from 0 to 59"),
        ([(0, 1, 1)] * (MOST + 1), "at most"),
    ],
)
def test_runs_that_are_none_are_refused(runs: list[Run], words: str) -> None:
    with pytest.raises(DataError, match=words):
        apply_runs(np.zeros(SHAPE, np.int16), runs, values=(0, 1, 3))
