"""A task holds what a training needs."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.split import Fold, Split, read_split
from segpipe.images.borders import Separation
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.training.task.build import (
    find_group,
    median_frequency_weights,
    warn_of_planes,
)
from tests.support.projects import TRAIN, changed
from tests.support.segmenters import make_plan, make_segmenter
from tests.support.tasks import make_task


def test_class_weights_have_mean_one_under_the_training_cases(prepared: Paths) -> None:
    """N / (K N_k): what each class has in voxels times its weight is alike.

    Seeds: F10.
    """
    names = read_split(prepared.artifacts).folds[0].training
    labels = [np.load(prepared.artifacts / f"preprocess/{n}/label.npy") for n in names]
    known = [np.load(prepared.artifacts / f"annotate/{name}.npy") for name in names]

    for sparse, of_fold in ((False, labels), (True, known)):
        task = make_task(prepared, sparse_annotation=sparse)
        voxels = np.concatenate([label.ravel() for label in of_fold])
        total = np.array([(voxels == value).sum() for value in range(3)])
        expected = total.sum() / (3 * total)
        np.testing.assert_allclose(task.class_weights, expected, rtol=1e-5)
    assert sum((label >= 0).sum() for label in known) < voxels.size
    assert make_task(prepared, class_weights="none").class_weights.tolist() == [1, 1, 1]


def test_weights_by_median_frequency_are_those_of_segnet(prepared: Paths) -> None:
    """By hand; class 2 is missing in one case, whose voxels do not count for it."""
    counts = np.array([[70, 20, 10, 0], [90, 10, 0, 0]])
    shares = np.array([160 / 200, 30 / 200, 10 / 100])

    weights = median_frequency_weights(counts)

    np.testing.assert_allclose(weights[:3], 0.15 / shares, rtol=1e-6)
    assert weights[3] == 0
    chosen = make_task(prepared, class_weights="median_frequency").class_weights
    assert sorted(chosen)[1] == 1  # the median class


def test_a_fold_that_split_has_not_is_refused(prepared: Paths) -> None:
    with pytest.raises(DataError, match=r"below split.n_folds = 2, found 7"):
        make_task(prepared, fold=7)


@pytest.mark.parametrize(("axis", "warned"), [(0, True), (2, False)])
def test_lines_in_other_planes_than_the_networks_are_warned_of(
    axis: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan(structures=("background", "cell"), values=(0, 1))
    spec = make_segmenter(plan, network="unet2d").spec
    drawn = Separation(dimensions=2, slice_axis=2, spacing=(1.0, 1.0, 2.0))
    changes = {"slice_axis": axis, "separation": drawn}
    warn_of_planes(spec.model_copy(update=changes))

    assert (f"set weigh.slice_axis: {axis}" in caplog.text) == warned


def test_pretrained_weights_must_be_where_they_are_said_to_be(
    prepared: Paths, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="nowhere"):
        make_task(prepared, start_from="nowhere@000000000000")


SPLIT = Split(
    format_version=1,
    test=("d",),
    folds=(
        Fold(training=("a", "b", "c"), validation=("e",)),
        Fold(training=("a", "e"), validation=("b", "c")),
    ),
    groups={"stain": {"a": "DAPI", "b": "H&E", "c": "x=y", "d": "H&E", "e": "DAPI"}},
)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("none", set()),
        ("stain=H&E", {"b"}),
        ("stain=x=y", {"c"}),
        ("stain=DAPI", {"a"}),
    ],
)
def test_a_sampled_group_is_its_training_cases(group: str, expected: set[str]) -> None:
    params = changed(TRAIN, sampled_group=group)

    assert find_group(params, SPLIT, 0, "params.yaml") == expected


@pytest.mark.parametrize(
    ("values", "fold", "words"),
    [
        ({"sampled_group": "stain=PAS"}, 0, "stain=PAS with 0; known are stain=DAPI"),
        ({"sampled_group": "site=A"}, 0, "list its column in split.groups"),
        ({"sampled_group": "stain=DAPI"}, 1, "2 training cases of fold 1"),
        ({"group_fraction": 0.25}, 0, "expected 0 without a sampled_group"),
    ],
)
def test_a_group_that_cannot_be_sampled_is_refused(values, fold, words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_group(changed(TRAIN, **values), SPLIT, fold, "params.yaml")
