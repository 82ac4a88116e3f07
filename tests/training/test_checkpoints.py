"""A training goes on from the last whole checkpoint, and from nothing else."""

import logging
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from segpipe.networks.vnet import VNet
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.training import checkpoints
from segpipe.training.checkpoints import (
    Progress,
    drop_checkpoint,
    load_checkpoint,
    save_checkpoint,
)


def state(epoch: int) -> dict[str, Any]:
    return {"weights": torch.full((5,), float(epoch)), "epoch": epoch, "history": [{}]}


def loaded_epoch(folder: Path) -> int:
    found = load_checkpoint(folder)
    assert found is not None
    return int(found["epoch"])


def test_a_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    written = {"weights": torch.rand(5), "epoch": 3, "history": [{"loss": 0.1}]}

    save_checkpoint(tmp_path / "a", written, step=3)
    read = load_checkpoint(tmp_path / "a")

    assert read is not None
    assert torch.equal(read["weights"], written["weights"])
    assert read["history"] == written["history"]


def test_the_last_two_are_kept_and_the_last_is_taken_up(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1000):
        save_checkpoint(tmp_path, state(step), step=step)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert [int(name.split("-")[0]) for name in names] == [100, 1000]
    assert loaded_epoch(tmp_path) == 1000


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_one_is_skipped_for_the_one_before_it_and_said(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), step=step)
    last = max(tmp_path.iterdir())
    content = bytearray(last.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    last.write_bytes(content[: {"cut": -9, "flip": None, "empty": 0}[damage]])

    with caplog.at_level(logging.WARNING):
        assert loaded_epoch(tmp_path) == 1
    assert f"{last} is damaged" in caplog.text


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", {}, step=1)
    drop_checkpoint(tmp_path / "a")

    assert load_checkpoint(tmp_path / "a") is None
    assert load_checkpoint(tmp_path / "b") is None


def test_a_part_that_was_being_written_is_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(1), step=1)
    (tmp_path / "part").write_bytes(b"half")

    assert loaded_epoch(tmp_path) == 1


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, state(1), step=1)
    monkeypatch.setattr(checkpoints, "SPARE_BYTES", 10**18)

    with pytest.raises(DataError, match="SEGPIPE_CHECKPOINTS"):
        save_checkpoint(tmp_path, state(2), step=2)
    assert loaded_epoch(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 1


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def test_nothing_but_tensors_and_plain_values_is_unpickled(tmp_path: Path) -> None:
    part = tmp_path / "evil"
    torch.save({"a": Evil()}, part)
    part.rename(tmp_path / f"000000000001-{digest_file(part)[:32]}.pt")

    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path)


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
    for name in ("smoothed_dice", "best_dice", "best_epoch", "waited"):
        assert getattr(unbroken, name) == getattr(resumed, name)


def test_the_best_weights_are_those_of_the_best_validation() -> None:
    progress = begin(0)
    step(progress)
    best = {name: value.clone() for name, value in progress.best_weights.items()}
    step(progress)

    assert progress.best_dice == 0.4
    for name, value in progress.best_weights.items():
        assert torch.equal(value, best[name])


NAN = math.nan


@pytest.mark.parametrize(
    ("dice", "kept", "waited"),
    [
        ([NAN, NAN, NAN], 3, 2),  # nothing to find, nothing found: the last
        ([0, 0, 0], 3, 0),  # nothing found yet: the last, and nobody waits
        ([0, NAN], 2, 0),  # the first found what is not there
        ([NAN, 0], 1, 1),
        ([0, 0, 0.5], 3, 0),
        ([0.5, 0.5, 0.5], 3, 2),  # of equals the last
        ([0.4, 0.3], 1, 1),  # smoothed: 0.4, 0.35
        ([0, 0.8, 0.82, 0.5, 0.4], 3, 2),  # 0, 0.4, 0.61, 0.555, 0.4775
        ([0.2, 0.9, 0.2, 0.6, 0.7], 5, 0),  # 0.2, 0.55, 0.375, 0.4875, 0.59375
        ([0.1, 0.4, 0.6, 0.7, 0.75], 5, 0),  # still rising
    ],
)
def test_the_epoch_is_chosen_by_the_smoothed_dice(
    dice: list[float], kept: int, waited: int
) -> None:
    progress = begin(0)
    weight = progress.network.classify.bias
    for epoch, figure in enumerate(dice, start=1):
        with torch.no_grad():
            weight.fill_(epoch)
        progress.epoch = epoch
        progress.judge(float(figure))

    assert progress.best_epoch == kept
    assert (progress.best_weights["classify.bias"] == kept).all()
    assert progress.waited == waited


def test_without_a_checkpoint_it_begins(tmp_path: Path) -> None:
    progress = begin(0)
    progress.resume(tmp_path)

    assert progress.epoch == 0


def test_the_average_is_kept_and_comes_back_to_the_bit(tmp_path: Path) -> None:
    """Its weights, and not the network's own, are those of the best epoch."""

    def begun() -> Progress:
        networks = [VNet(1, 2, base_channels=1) for _ in range(2)]
        optimizer = torch.optim.SGD(networks[0].parameters(), lr=0.1)
        return Progress(networks[0], optimizer, average=networks[1])

    before, after = begun(), begun()
    before.judge(0.5)
    before.save(tmp_path, step=1)
    after.resume(tmp_path)

    assert before.average is not None
    assert after.average is not None
    expected = before.average.state_dict()
    for name, value in after.average.state_dict().items():
        assert torch.equal(value, expected[name])
        assert torch.equal(after.best_weights[name], expected[name])
    assert not all(
        torch.equal(value, expected[name])
        for name, value in before.network.state_dict().items()
    )
