"""Known values of panoptic quality: arithmetic, and MONAI."""

import numpy as np
import pytest
import torch
from monai.metrics import PanopticQualityMetric

from segpipe.evaluation.measures.panoptic import PanopticCounts, count_panoptic

KEEP = {"classes": 3, "things": (1,), "void": None}


def things(*rows: tuple[int, int, int], length: int = 60) -> tuple:
    """A line of voxels: class 1 with an id from a start to a stop, else class 0."""
    kinds, ids = np.zeros(length, int), np.zeros(length, int)
    for start, stop, number in rows:
        kinds[start:stop], ids[start:stop] = 1, number
    return kinds, ids


def test_a_match_of_08_with_one_missed_and_one_invented_is_04() -> None:
    """PQ .4 = SQ .8 times RQ .5: 8 of 10 voxels, 1 / (1 + 1/2 + 1/2).

    Seeds: I4.
    """
    reference = things((0, 10, 1), (20, 25, 2))
    prediction = things((0, 8, 5), (40, 45, 7))

    counts = count_panoptic(reference, prediction, **KEEP)

    assert counts.quality[1] == pytest.approx(0.4)
    assert counts.segmentation_quality[1] == pytest.approx(0.8)
    assert counts.recognition_quality[1] == pytest.approx(0.5)
    assert np.isnan(counts.quality[2])


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    """Seeds: I4."""
    counts = count_panoptic(things((0, 10, 1)), things((0, 5, 1)), **KEEP)

    assert (counts.matched[1], counts.debris[1], counts.missed[1]) == (0, 1, 1)


def test_the_same_is_1_whatever_the_ids_are() -> None:
    reference = things((0, 10, 1), (10, 30, 2), (40, 50, 3))
    renamed = things((0, 10, 9), (10, 30, 1), (40, 50, 2))

    counts = count_panoptic(reference, renamed, **KEEP)

    assert counts.quality[:2].tolist() == [1, 1]
    assert counts.matched[1] == 3


def test_ids_of_stuff_do_not_count() -> None:
    kinds = np.full(20, 2)
    split = np.repeat([1, 2], 10)

    counts = count_panoptic((kinds, np.zeros(20, int)), (kinds, split), **KEEP)

    assert counts.matched.tolist() == [0, 0, 1]
    assert counts.quality[2] == 1


def test_void_is_in_no_union_and_excuses_what_lies_in_it() -> None:
    """The first segment is right where something is known: 10 of 10 voxels.

    Of the second, 3 of 5 voxels are void; of the third, 2 of 5.
    """
    kinds, ids = things((0, 10, 1))
    kinds[10:14] = kinds[30:33] = kinds[50:52] = 2
    prediction = things((0, 14, 1), (30, 35, 2), (50, 55, 3))

    counts = count_panoptic((kinds, ids), prediction, classes=2, things=(1,), void=2)

    assert counts.segmentation_quality[1] == 1
    assert (counts.matched[1], counts.debris[1], counts.missed[1]) == (1, 1, 0)


def test_a_prediction_of_void_is_no_segment() -> None:
    """As in panopticapi; the class of void is not among those counted."""
    prediction = things((0, 10, 1))
    prediction[0][20:30] = 3

    counts = count_panoptic(things((0, 10, 1)), prediction, **KEEP | {"void": 3})

    assert counts.debris.tolist() == [0, 0, 0]
    assert counts.quality[:2].tolist() == [pytest.approx(40 / 50), 1]


def test_counts_of_two_images_are_those_of_both() -> None:
    one = count_panoptic(things((0, 10, 1)), things((0, 8, 1)), **KEEP)
    other = count_panoptic(things((0, 10, 1)), things((0, 10, 1)), **KEEP)

    both = one + other

    assert isinstance(both, PanopticCounts)
    assert both.quality[1] == pytest.approx((0.8 + 1) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_things_are_judged_as_monai_judges_them(seed: int) -> None:
    """MONAI knows no stuff and no void; ids are unique over classes."""
    rng = np.random.default_rng(seed)
    reference, prediction = np.zeros((2, 24, 24), int), np.zeros((2, 24, 24), int)
    for number in range(1, 7):
        i, j = rng.integers(0, 18, 2)
        kind = 1 + number % 2
        reference[:, i : i + 6, j : j + 6] = np.array([number, kind])[:, None, None]
        di, dj = rng.integers(0, 3, 2)
        prediction[:, i + di : i + 6, j + dj : j + 6] = np.array([number, kind])[
            :, None, None
        ]
    metric = PanopticQualityMetric(num_classes=2, metric_name="pq")
    metric(torch.from_numpy(prediction)[None], torch.from_numpy(reference)[None])

    counts = count_panoptic(
        (reference[1], reference[0]),
        (prediction[1], prediction[0]),
        classes=3,
        things=(1, 2),
        void=None,
    )

    expected = np.asarray(metric.aggregate()).ravel()
    np.testing.assert_allclose(counts.quality[1:], expected, atol=1e-4)
