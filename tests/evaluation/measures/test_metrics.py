"""Metrics against formulas, brute force and each other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from segpipe.evaluation.measures import metrics
from segpipe.project.errors import DataError
from tests.support.phantoms import ball

SPACING = (0.5, 1.0, 2.0)


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((6, 7, 5)) < 0.3, rng.random((6, 7, 5)) < 0.4


def surface(mask: np.ndarray) -> np.ndarray:
    """Voxels with a face neighbour outside, one at a time."""
    padded = np.pad(mask, 1)
    places = []
    for i, j, k in np.argwhere(mask) + 1:
        near = [
            padded[i - 1, j, k],
            padded[i + 1, j, k],
            padded[i, j - 1, k],
            padded[i, j + 1, k],
            padded[i, j, k - 1],
            padded[i, j, k + 1],
        ]
        if not all(near):
            places.append((i, j, k))
    return np.array(places) * SPACING


def test_dice_of_two_shifted_balls_is_the_lens_formula() -> None:
    """Balls of radius r at distance d share 1 - 3d/4r + d^3/16r^3 of their volume."""
    score = metrics.dice(ball(16, center=(20, 24, 24)), ball(16, center=(28, 24, 24)))

    assert score == pytest.approx(1 - 3 * 8 / (4 * 16) + 8**3 / (16 * 16**3), abs=0.005)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_dice_and_iou_say_the_same(seed: int) -> None:
    """Seeds: M4."""
    reference, prediction = masks(seed)
    j = metrics.iou(reference, prediction)

    assert metrics.dice(reference, prediction) == pytest.approx(2 * j / (1 + j))


@pytest.mark.parametrize("score", [metrics.dice, metrics.iou])
def test_two_empty_masks_do_not_lift_a_mean(score: Callable[..., float]) -> None:
    empty, full = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)

    assert math.isnan(score(empty, empty))
    assert score(empty, full) == 0
    assert score(full, empty) == 0
    assert score(full, full) == 1


def test_the_confusion_matrix_of_a_drawn_example() -> None:
    """Long 2015, section 5, worked out by hand.

    Seeds: M1, M2, M3.
    """
    reference = np.array([0, 0, 0, 0, 1, 1, 2, 2, 9])
    prediction = np.array([0, 0, 0, 1, 1, 1, 2, 0, 1])
    confusion = metrics.confusion_matrix(reference, prediction, n_classes=3, ignore=9)

    assert confusion.tolist() == [[3, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert metrics.pixel_accuracy_of(confusion) == 6 / 8
    recall = metrics.recall_of(confusion)
    assert recall.tolist() == [3 / 4, 1, 1 / 2]
    assert metrics.mean_of(recall) == 0.75
    assert metrics.precision_of(confusion).tolist() == [3 / 4, 2 / 3, 1]
    assert metrics.iou_of(confusion) == pytest.approx([3 / 5, 2 / 3, 1 / 2])
    assert metrics.dice_of(confusion) == pytest.approx([6 / 8, 4 / 5, 2 / 3])
    weighted = 4 / 8 * 3 / 5 + 2 / 8 * 2 / 3 + 2 / 8 * 1 / 2
    assert metrics.frequency_weighted_iou_of(confusion) == pytest.approx(weighted)


def test_the_figures_of_two_classes_by_hand() -> None:
    """Seeds: M1, M2, M4, M5."""
    confusion = np.array([[50, 10], [5, 35]])

    assert metrics.pixel_accuracy_of(confusion) == pytest.approx(85 / 100)
    recall = metrics.recall_of(confusion)
    assert metrics.mean_of(recall) == pytest.approx((50 / 60 + 35 / 40) / 2)
    iou = metrics.iou_of(confusion)
    assert iou == pytest.approx([50 / 65, 35 / 50])
    assert metrics.mean_of(iou) == pytest.approx((50 / 65 + 35 / 50) / 2)
    weighted = metrics.frequency_weighted_iou_of(confusion)
    assert weighted == pytest.approx(0.6 * 50 / 65 + 0.4 * 35 / 50)
    assert metrics.dice_of(confusion)[1] == pytest.approx(2 * 35 / (40 + 45))


def test_nothing_annotated_has_no_figures() -> None:
    unknown, prediction = np.full(4, 9), np.zeros(4, dtype=np.int64)
    confusion = metrics.confusion_matrix(unknown, prediction, n_classes=2, ignore=9)

    assert not confusion.any()
    assert math.isnan(metrics.pixel_accuracy_of(confusion))
    assert math.isnan(metrics.mean_of(metrics.iou_of(confusion)))


def test_a_class_on_neither_side_counts_nowhere() -> None:
    confusion = np.array([[5, 1, 0], [2, 2, 0], [0, 0, 0]])

    iou = metrics.iou_of(confusion)
    assert math.isnan(iou[2])
    assert metrics.mean_of(iou) == pytest.approx((5 / 8 + 2 / 5) / 2)


def test_figures_of_the_confusion_are_those_of_the_masks() -> None:
    reference, prediction = masks(1)
    confusion = metrics.confusion_matrix(
        reference.astype(np.int16),
        prediction.astype(np.uint8),
        n_classes=2,
        ignore=None,
    )

    assert metrics.dice_of(confusion)[1] == metrics.dice(reference, prediction)
    assert metrics.iou_of(confusion)[1] == metrics.iou(reference, prediction)


def test_figures_of_a_union_are_those_of_its_mask() -> None:
    """Structures that overlap: classes 1 to 3, classes 2 and 3, class 3."""
    rng = np.random.default_rng(0)
    reference, prediction = rng.integers(0, 4, (2, 6, 7, 5))
    members = ([0], [1, 2, 3], [2, 3], [3])
    table = np.array([[n in own for n in range(4)] for own in members])
    confusion = metrics.confusion_matrix(
        reference, prediction, n_classes=4, ignore=None
    )

    found = {
        "dice": metrics.dice_of(confusion, table),
        "iou": metrics.iou_of(confusion, table),
        "recall": metrics.recall_of(confusion, table),
        "precision": metrics.precision_of(confusion, table),
    }
    for number, own in enumerate(members):
        one, other = np.isin(reference, own), np.isin(prediction, own)
        both = (one & other).sum()
        assert found["dice"][number] == metrics.dice(one, other)
        assert found["iou"][number] == metrics.iou(one, other)
        assert found["recall"][number] == both / one.sum()
        assert found["precision"][number] == both / other.sum()


def test_a_strange_class_is_refused() -> None:
    with pytest.raises(DataError, match="prediction: expected classes from 0 to 1"):
        metrics.confusion_matrix(
            np.array([0, 1]), np.array([0, 2]), n_classes=2, ignore=None
        )


def test_a_long_row_is_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    reference, prediction = rng.integers(0, 3, (2, 1000))
    whole = metrics.confusion_matrix(reference, prediction, n_classes=3, ignore=None)
    monkeypatch.setattr(metrics, "CHUNK", 7)

    pieces = metrics.confusion_matrix(reference, prediction, n_classes=3, ignore=None)
    assert np.array_equal(whole, pieces)
    assert whole.sum() == 1000


def test_a_shifted_slab_is_at_its_shift() -> None:
    """Two parallel planes 3 voxels of 2 mm apart.

    Seeds: M5.
    """
    reference, prediction = np.zeros((2, 12, 12, 12), bool)
    reference[:, :, 2], prediction[:, :, 5] = True, True
    distances = metrics.surface_distances(
        reference, prediction, spacing=(1.0, 1.0, 2.0)
    )

    assert distances.hausdorff() == 6
    assert distances.hausdorff(100.0) == 6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shifted_cube_is_at_its_shift(axis: int) -> None:
    """A face of 10 x 10 is a fifth of the surface: more than 5 % are a shift away."""
    reference = np.zeros((16, 16, 16), bool)
    reference[2:12, 2:12, 2:12] = True
    prediction = np.roll(reference, 3, axis)
    distances = metrics.surface_distances(reference, prediction, spacing=SPACING)

    assert len(distances.to_prediction) == 10**3 - 8**3
    assert distances.hausdorff() == pytest.approx(3 * SPACING[axis])
    assert distances.hausdorff(100.0) == pytest.approx(3 * SPACING[axis])


@pytest.mark.parametrize("seed", range(5))
def test_surface_distances_are_those_of_all_pairs(seed: int) -> None:
    reference, prediction = masks(seed)
    pairs = cdist(surface(reference), surface(prediction))
    distances = metrics.surface_distances(reference, prediction, spacing=SPACING)

    to_prediction, to_reference = pairs.min(axis=1), pairs.min(axis=0)
    assert np.sort(distances.to_prediction) == pytest.approx(np.sort(to_prediction))
    assert np.sort(distances.to_reference) == pytest.approx(np.sort(to_reference))
    worse = max(np.percentile(to_prediction, 95), np.percentile(to_reference, 95))
    assert distances.hausdorff() == pytest.approx(worse)


def test_an_image_of_one_slice_has_a_line_for_a_surface() -> None:
    reference = np.zeros((9, 9, 1), bool)
    reference[2:7, 2:7] = True
    distances = metrics.surface_distances(reference, reference, spacing=(1.0, 1.0, 1.0))

    assert len(distances.to_reference) == 16
    assert distances.hausdorff() == 0
