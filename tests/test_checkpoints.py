import pickle

import pytest
import torch

from segpipe.checkpoints import drop_checkpoint, load_checkpoint, save_checkpoint


def test_a_state_comes_back_to_the_bit(tmp_path) -> None:
    state = {"weights": torch.rand(5), "epoch": 3, "history": [{"loss": 0.1}]}

    save_checkpoint(tmp_path / "a", state)
    read = load_checkpoint(tmp_path / "a")

    assert read is not None
    assert torch.equal(read["weights"], state["weights"])
    assert read["history"] == state["history"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["last.pt"]


def test_without_a_checkpoint_there_is_none(tmp_path) -> None:
    save_checkpoint(tmp_path / "a", {})
    drop_checkpoint(tmp_path / "a")

    assert load_checkpoint(tmp_path / "a") is None
    assert load_checkpoint(tmp_path / "b") is None


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_but_tensors_and_plain_values_is_unpickled(tmp_path) -> None:
    torch.save({"a": Evil()}, tmp_path / "last.pt")

    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path)
