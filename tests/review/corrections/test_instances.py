"""What becomes of instances where somebody draws: each case counted by hand."""

import numpy as np
import pytest

from segpipe.review.corrections.instances import carry_instances

LINE = 12  # pixels


def row(text: str) -> np.ndarray:
    return np.array([int(one) for one in text.ljust(LINE, "0")]).reshape(LINE, 1, 1)


CASES = {
    # ids, label map before and after, ids after
    "nothing changes": ("110022", "110011", "110011", "110022"),
    "an instance is erased": ("110022", "110011", "110000", "110000"),
    "one is cut in two": ("11111022", "11111011", "11011011", "11033022"),
    "one grows": ("110000", "110000", "111100", "111100"),
    "one is drawn anew": ("110000", "110000", "110011", "110022"),
    "what joins two belongs to the nearest": (
        "1100002",
        "1100001",
        "1111111",
        "1111222",
    ),
    "another structure is another instance": ("1100", "1100", "1133", "1122"),
    "a voxel that changes its structure": ("1111", "1111", "1133", "1122"),
}


@pytest.mark.parametrize("name", CASES)
def test_instances_follow_the_correction(name: str) -> None:
    ids, before, after, wanted = map(row, CASES[name])
    found = carry_instances(ids, before, after)

    assert found.ravel().tolist() == wanted.ravel().tolist()
    assert ((found > 0) == (after > 0)).all()
