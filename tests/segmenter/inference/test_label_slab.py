import numpy as np

from segpipe.segmenter.inference.label_slab import join_columns


def test_columns_are_joined_where_they_lie() -> None:
    whole = np.arange(40 * 5 * 6).reshape(40, 5, 6)
    boxes = [
        (slice(0, 40), j, k)
        for j in (slice(0, 2), slice(2, 5))
        for k in (slice(0, 4), slice(4, 6))
    ]

    def parts(box):
        for start in range(0, 40, 7):
            yield start, {"labels": whole[start : start + 7, box[1], box[2]]}

    found = list(join_columns(((box, parts(box)) for box in boxes), whole.shape))

    assert [start for start, _ in found] == [0, 16, 32]
    np.testing.assert_array_equal(
        np.concatenate([maps["labels"] for _, maps in found]), whole
    )
