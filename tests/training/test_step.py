"""A step draws its own patches, always the same ones, whoever shares them."""

import math
from dataclasses import replace
from statistics import median

import pytest
import torch

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.training.distributed import World
from segpipe.training.step import rate_of, train_step
from segpipe.training.task.start import start_or_resume
from tests.support.projects import with_loss
from tests.support.tasks import PARAMS, make_task, patches_of


def test_processes_draw_the_parts_of_the_batch_that_one_would_draw(
    prepared: Paths,
) -> None:
    alone = make_task(prepared)
    whole = patches_of(alone, 3)
    parts = [patches_of(replace(alone, world=World(rank, 2)), 3) for rank in (0, 1)]

    for name in ("image", "reference", "weight"):
        together = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(together, getattr(whole, name))
    assert parts[0].cases + parts[1].cases == whole.cases


def test_each_step_has_patches_of_its_own_and_always_the_same(prepared: Paths) -> None:
    task = make_task(prepared)
    first, again, other = (patches_of(task, n).image for n in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_rate_of_the_schedule_is_that_of_the_whole_training() -> None:
    halfway = PARAMS.epochs * PARAMS.steps_per_epoch // 2

    assert rate_of(PARAMS, halfway) == pytest.approx(0.01 * 0.5**0.9)


def test_a_step_lowers_the_loss_of_its_own_patches(prepared: Paths) -> None:
    task = make_task(prepared, loss=with_loss("cross_entropy"), steps_per_epoch=40)
    progress = start_or_resume(task)
    patches = patches_of(task, 0)

    losses = [train_step(task, progress, 0, patches) for _ in range(40)]

    assert median(losses[-5:]) < 0.5 * median(losses[:5])


def test_a_loss_that_is_no_number_names_the_cases(prepared: Paths) -> None:
    task = make_task(prepared)
    patches = patches_of(task, 0)
    broken = replace(patches, image=torch.full_like(patches.image, math.nan))

    with pytest.raises(DataError, match=f"found nan on patches of {patches.cases[0]}"):
        train_step(task, start_or_resume(task), 0, broken)


def test_a_step_takes_the_loss_that_a_network_brings(prepared: Paths) -> None:
    """Slices of volumes; the same step of the same weights has the same loss."""
    task = make_task(
        prepared,
        network="maskrcnn",
        loss=with_loss("own"),
        class_weights="none",
        border_weights=False,
        sparse_annotation=False,
        patch_size=(32, 32, 1),
        slice_axis=2,
        batch_size=2,
    )
    task = replace(
        task,
        patch=task.patch.model_copy(
            update={"patch_size": (32, 32, 1), "slice_axis": 2, "batch_size": 2}
        ),
    )
    patches = patches_of(task, 0)

    first, again, other = (
        train_step(task, start_or_resume(task), step, patches) for step in (0, 0, 1)
    )

    assert math.isfinite(first)
    assert first == again
    assert first != other
