"""A training starts from weights that its seed decides."""

from dataclasses import replace

import torch

from segpipe.project.paths import Paths
from segpipe.training.step import augment_patches, draw_patches, train_step
from segpipe.training.task.start import start_or_resume
from tests.support.projects import TRAIN, changed, with_loss
from tests.support.tasks import make_task


def test_the_seed_decides_a_new_network_and_its_average_begins_there(
    prepared: Paths,
) -> None:
    averaged = changed(TRAIN.optimizer, ema=0.9)
    plain = start_or_resume(make_task(prepared))
    with_average = start_or_resume(make_task(prepared, optimizer=averaged))

    assert plain.average is None
    assert with_average.average is not None
    weights = plain.network.state_dict()
    for other in (with_average.network, with_average.average):
        found = other.state_dict()
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_the_second_phase_changes_the_output_layer_alone(prepared: Paths) -> None:
    """As Havaei 2017 trains it: on natural frequencies, from the first phase's weights.

    Seeds: I5.
    """
    task = make_task(
        prepared,
        network="twopath",
        base_channels=1,
        padding="valid",
        learned_part="first.classify",
        foreground_fraction=0.0,
        loss=with_loss("cross_entropy"),
    )
    patch = {"patch_size": (41, 41, 1), "slice_axis": 2}
    task = replace(task, patch=task.patch.model_copy(update=patch))
    progress = start_or_resume(task)
    before = {k: v.clone() for k, v in progress.network.state_dict().items()}
    patches = augment_patches(task, draw_patches(task, (16, 16, 0), 0))
    train_step(task, progress, 0, patches)

    after = progress.network.state_dict()
    changed_ones = {
        name for name in after if not torch.equal(after[name], before[name])
    }
    assert changed_ones == {"first.classify.weight", "first.classify.bias"}


def test_what_is_frozen_counts_no_statistics_and_drops_nothing(
    prepared: Paths,
) -> None:
    """SegNet's encoder has batch normalizations: they stay as they were, too."""
    task = make_task(
        prepared,
        network="segnet",
        base_channels=1,
        padding="same",
        learned_part="decoder",
        loss=with_loss("cross_entropy"),
    )
    patch = {"patch_size": (32, 32, 1), "slice_axis": 2}
    task = replace(task, patch=task.patch.model_copy(update=patch))
    progress = start_or_resume(task)
    before = {k: v.clone() for k, v in progress.network.state_dict().items()}
    patches = augment_patches(task, draw_patches(task, (0, 0, 0), 0))

    train_step(task, progress, 0, patches)

    after = progress.network.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved
    assert {name.partition(".")[0] for name in moved} == {"decoder"}
    assert any("running_mean" in name for name in moved)
    assert not any(part.training for part in progress.network.encoder.modules())
