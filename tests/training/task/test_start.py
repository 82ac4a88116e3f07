"""A training starts from weights that its seed decides."""

import torch

from segpipe.project.paths import Paths
from segpipe.training.task.start import start_or_resume
from tests.support.projects import TRAIN, changed
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
