"""The picture shows the slice that tells most."""

import numpy as np

from experiments.semantic_picture import fullest_slice, plane


def test_a_slab_is_shown_from_its_broad_side_where_it_has_most_structure() -> None:
    label = np.zeros((12, 3, 10), dtype=np.uint8)
    label[2:4, 0, 2] = 1
    label[2:9, 2, 5] = 4

    assert fullest_slice(label) == (1, 2)


def test_the_second_axis_of_a_slice_runs_upwards() -> None:
    array = np.zeros((4, 2, 3), dtype=np.uint8)
    array[1, 0, 2] = 7

    cut = plane(array, 1, 0)
    assert cut.shape == (3, 4)
    assert cut[0, 1] == 7


def test_only_the_middle_of_a_large_picture_is_shown() -> None:
    array = np.zeros((1000, 900, 1), dtype=np.uint8)
    array[500, 450, 0] = 7

    cut = plane(array, 2, 0)
    assert cut.shape == (320, 320)
    assert cut[160, 160] == 7
