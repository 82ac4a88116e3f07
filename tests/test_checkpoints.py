"""A training goes on from the last whole checkpoint, and from nothing else."""

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from segpipe import checkpoints
from segpipe.checkpoints import drop_checkpoint, load_checkpoint, save_checkpoint
from segpipe.errors import DataError
from segpipe.fingerprint import digest_file


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
