"""What a training is made of, and what a step draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segpipe.dataset.prepared import read_counts
from segpipe.dataset.split import read_split
from segpipe.networks.build import build_network
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.training.distributed import World
from segpipe.training.step import (
    Patches,
    augment_patches,
    draw_patches,
    rate_of,
    train_step,
)
from segpipe.training.task import (
    Task,
    build_task,
    load_pretrained,
    start_from,
    start_or_resume,
)
from segpipe.training.validation import calibrate
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    PATIENTS,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    with_loss,
)
from tests.support.segmenters import make_plan, save_segmenter

PARAMS = changed(
    TRAIN, network="vnet", loss=with_loss("dice"), patch_size=(16, 16, 16), batch_size=4
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_annotate(paths, {"vnet": PARAMS})
    return paths


def build(paths: Paths, world: World | None = None, fold: int = 0, **changes) -> Task:
    return build_task(
        changed(PARAMS, **changes),
        "vnet",
        fold,
        one_thread(),
        paths,
        "0" * 64,
        world or World(),
    )


def patches_of(task: Task, step: int) -> Patches:
    return augment_patches(task, draw_patches(task, (0, 0, 0), step))


def test_class_weights_have_mean_one_under_the_training_cases(paths: Paths) -> None:
    """N / (K N_k): what each class has in voxels times its weight is alike."""
    task = build(paths)
    counts = read_counts(paths.artifacts)
    of_fold = [counts[name] for name in read_split(paths.artifacts).folds[0].training]
    total = np.sum(of_fold, axis=0)

    np.testing.assert_allclose(task.class_weights * total, total.sum() / 3, rtol=1e-5)
    assert build(paths, class_weights="none").class_weights.tolist() == [1, 1, 1]


def test_processes_draw_the_parts_of_the_batch_that_one_would_draw(
    paths: Paths,
) -> None:
    alone = build(paths)
    whole = patches_of(alone, 3)
    parts = [patches_of(replace(alone, world=World(rank, 2)), 3) for rank in (0, 1)]

    for name in ("image", "reference", "weight"):
        together = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(together, getattr(whole, name))
    assert parts[0].cases + parts[1].cases == whole.cases


def test_each_step_has_patches_of_its_own_and_always_the_same(paths: Paths) -> None:
    task = build(paths)
    first, again, other = (patches_of(task, n).image for n in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_rate_of_the_schedule_is_that_of_the_whole_training() -> None:
    halfway = PARAMS.epochs * PARAMS.steps_per_epoch // 2

    assert rate_of(PARAMS, halfway) == pytest.approx(0.01 * 0.5**0.9)


def test_a_fold_that_split_has_not_is_refused(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"below split.n_folds = 2, found 7"):
        build(paths, fold=7)


def test_a_temperature_comes_from_the_validation_cases(paths: Paths) -> None:
    """Logits twice as large want a temperature twice as high."""
    task = build(paths, loss=with_loss("cross_entropy"), steps_per_epoch=40)
    progress = start_or_resume(task)
    for step in range(40):
        train_step(task, progress, step, patches_of(task, step))
    network = progress.network
    found = calibrate(network, task)
    with torch.no_grad():
        network.classify.weight.mul_(2)
        network.classify.bias.mul_(2)

    assert 0.1 < found < 5
    assert calibrate(network, task) == pytest.approx(2 * found, rel=0.02)


def test_pretrained_weights_must_be_where_they_are_said_to_be(
    paths: Paths, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="nowhere"):
        build(paths, start_from="nowhere@000000000000")


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
