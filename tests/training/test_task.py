"""A task holds what a training needs; pretrained weights are those that fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segpipe.dataset.split import Fold, Split, read_split
from segpipe.images.borders import Separation
from segpipe.networks.build import build_network
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.training.task import (
    TrainParams,
    find_group,
    load_pretrained,
    start_from,
    warn_of_planes,
)
from tests.support.projects import TRAIN, changed
from tests.support.segmenters import make_plan, make_segmenter, save_segmenter
from tests.support.tasks import make_task


def test_class_weights_have_mean_one_under_the_training_cases(prepared: Paths) -> None:
    """N / (K N_k): what each class has in voxels times its weight is alike."""
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


@pytest.fixture
def named(tmp_path: Path) -> str:
    plan = make_plan(structures=("background", "liver"), values=(0, 7))
    save_segmenter(tmp_path / "old", plan, network="unet3d")
    return f"old@{segmenter_digest(tmp_path / 'old')[:12]}"


@pytest.fixture
def old(named: str, tmp_path: Path) -> Segmenter:
    found = load_pretrained(named, tmp_path)
    assert found is not None
    return found


def test_weights_that_fit_are_copied(old: Segmenter) -> None:
    torch.manual_seed(7)
    network = build_network(old.spec.network)
    start_from(network, old, "unet3d")

    for name, value in network.state_dict().items():
        assert torch.equal(value, old.networks[0].state_dict()[name])


def test_for_other_structures_only_the_last_layer_is_new(old: Segmenter) -> None:
    classes = old.spec.network.out_channels + 1
    spec = old.spec.network.model_copy(update={"out_channels": classes})
    network = build_network(spec)
    start_from(network, old, "unet3d")

    before = old.networks[0].state_dict()
    new = {
        name
        for name, value in network.state_dict().items()
        if value.shape != before[name].shape or not torch.equal(value, before[name])
    }
    assert new == {"classify.weight", "classify.bias"}


def test_none_starts_from_nothing(tmp_path: Path) -> None:
    assert load_pretrained("none", tmp_path) is None


@pytest.mark.parametrize("text", ["old", "old@000000000000"])
def test_a_name_without_its_digest_is_told_the_right_one(
    text: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"expected {named}.*found {text}"):
        load_pretrained(text, tmp_path)


def test_another_network_is_refused(old: Segmenter) -> None:
    network = build_network(old.spec.network)

    with pytest.raises(DataError, match="expected a vnet, found a unet3d"):
        start_from(network, old, "vnet")


def test_another_width_is_refused_where_nothing_fits(old: Segmenter) -> None:
    spec = {"base_channels": 4, "out_channels": 9}
    network = build_network(old.spec.network.model_copy(update=spec))

    with pytest.raises(DataError, match="fit base_channels, found those of 2"):
        start_from(network, old, "unet3d")


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


def test_params_without_a_group_are_recorded_as_before() -> None:
    assert not {"sampled_group", "group_fraction"} & set(TRAIN.model_dump())
    assert "inversion" not in TRAIN.model_dump()["augmentation"]


def test_a_budget_stands_for_epochs_and_steps_and_for_nothing_else() -> None:
    """Without it both are as written, and a record shows no trace of the option."""
    written = {**TRAIN.model_dump(), "budget": "hour"}
    short = {k: v for k, v in written.items() if k not in ("epochs", "steps_per_epoch")}

    params = TrainParams.model_validate(short)
    assert (params.epochs, params.steps_per_epoch) == (100, 80)
    rest = params.model_dump(exclude={"budget", "epochs", "steps_per_epoch"})
    assert rest == TRAIN.model_dump(exclude={"epochs", "steps_per_epoch"})
    assert "budget" not in TRAIN.model_dump()
    with pytest.raises(ValueError, match="expected nothing beside budget: hour"):
        TrainParams.model_validate(written)
    with pytest.raises(ValueError, match="expected 1 or more, found nothing"):
        TrainParams.model_validate({**short, "budget": "params"})


def test_deep_supervision_needs_a_network_with_levels() -> None:
    loss = {**TRAIN.loss.model_dump(), "deep_supervision": True}

    with pytest.raises(ValueError, match="but for resenc2d and resenc3d"):
        TrainParams.model_validate({**TRAIN.model_dump(), "loss": loss})
