"""Temperature: calibration on patches of held-out cases."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.project.paths import Paths
from segpipe.training.step import train_step
from segpipe.training.task.start import start_or_resume
from segpipe.training.validation import temperature as validation
from segpipe.training.validation.temperature import calibrate, fit_temperature
from tests.support.projects import with_loss
from tests.support.tasks import make_task, patches_of


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_known_miscalibration_is_found(temperature: float) -> None:
    """Classes drawn from softmax(z): a network that says T z is T times too sure."""
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(40_000, 3, generator=generator)
    drawn = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]

    assert fit_temperature(temperature * true, drawn) == pytest.approx(
        temperature, rel=0.03
    )


def test_a_network_that_is_always_right_gets_surer_within_bounds() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0]])

    found = fit_temperature(logits, torch.tensor([0, 1]))

    assert math.isfinite(found)
    assert 0.05 <= found < 0.5


def test_calibration_takes_each_voxel_once(
    prepared: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many voxels as a patch shows: the temperature is that of all of them."""
    task = make_task(prepared, loss=with_loss("cross_entropy"))
    monkeypatch.setattr(validation, "CALIBRATION_PATCHES", 2)
    monkeypatch.setattr(validation, "CALIBRATION_VOXELS", 16**3)
    network = start_or_resume(task).network
    given: list[int] = []

    def fit(logits: torch.Tensor, reference: torch.Tensor, truth: None) -> float:
        given.append(len(logits.unique(dim=0)))
        given.append(len(logits))
        return 1.0

    known = replace(
        task.validation[0], label=np.where(task.validation[0].label >= 0, 0, 0)
    )
    monkeypatch.setattr(validation, "fit_temperature", fit)
    calibrate(network, replace(task, validation=[known]))

    assert given[0] > 0.9 * given[1]


def test_without_an_annotated_voxel_nothing_is_calibrated(prepared: Paths) -> None:
    task = make_task(prepared)
    network = start_or_resume(task).network
    unknown = [replace(one, label=one.label * 0 - 1) for one in task.validation]

    assert calibrate(network, replace(task, validation=unknown)) == 1
    assert calibrate(network, replace(task, validation=[])) == 1


def test_a_temperature_comes_from_the_validation_cases(prepared: Paths) -> None:
    """Logits twice as large want a temperature twice as high."""
    task = make_task(prepared, loss=with_loss("cross_entropy"), steps_per_epoch=40)
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
