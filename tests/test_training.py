"""What a training is made of, and what a step draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segpipe.distributed import World
from segpipe.errors import DataError
from segpipe.paths import Paths
from segpipe.plan import ClassCounts, read_split
from segpipe.training import (
    Patches,
    Task,
    begin,
    build_task,
    calibrate,
    draw,
    learn,
    rate_of,
    vary,
)
from tests.phantoms import write_dataset
from tests.projects import (
    PATIENTS,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    with_loss,
)

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
        {"fingerprint": "0" * 64},
        world or World(),
    )


def patches_of(task: Task, step: int) -> Patches:
    return vary(task, draw(task, (0, 0, 0), step))


def test_class_weights_have_mean_one_under_the_training_cases(paths: Paths) -> None:
    """N / (K N_k): what each class has in voxels times its weight is alike."""
    task = build(paths)
    counts = ClassCounts.read(paths.artifacts / "weigh" / "counts.json").counts
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
    progress = begin(task)
    for step in range(40):
        learn(task, progress, step, patches_of(task, step))
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
