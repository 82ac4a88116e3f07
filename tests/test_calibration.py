import math

import pytest
import torch

from segpipe.calibration import fit_temperature


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
