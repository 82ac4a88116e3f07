"""What a checkpoint holds is all that changes."""

from pathlib import Path

import torch

from segpipe.networks.vnet import VNet
from segpipe.progress import Progress


def begin(seed: int) -> Progress:
    torch.manual_seed(seed)
    network = VNet(1, 2, base_channels=2)
    return Progress(network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9))


def step(progress: Progress) -> None:
    torch.manual_seed(progress.epoch)
    progress.optimizer.zero_grad()
    progress.network(torch.randn(1, 1, 16, 16, 16)).square().mean().backward()
    progress.optimizer.step()
    progress.epoch += 1
    progress.judge(0.5 - progress.epoch / 10)


def test_a_resumed_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    unbroken, broken = begin(0), begin(0)
    for progress in (unbroken, broken):
        step(progress)
    broken.save(tmp_path, step=1)
    resumed = begin(1)
    resumed.resume(tmp_path)
    for progress in (unbroken, resumed):
        step(progress)

    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])
        assert torch.equal(unbroken.best_weights[name], resumed.best_weights[name])
    assert resumed.epoch == 2


def test_the_best_weights_are_those_of_the_best_validation() -> None:
    progress = begin(0)
    step(progress)
    best = {name: value.clone() for name, value in progress.best_weights.items()}
    step(progress)

    assert progress.best_dice == 0.4
    for name, value in progress.best_weights.items():
        assert torch.equal(value, best[name])


def test_without_a_checkpoint_it_begins(tmp_path: Path) -> None:
    progress = begin(0)
    progress.resume(tmp_path)

    assert progress.epoch == 0
