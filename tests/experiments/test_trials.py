"""Trials differ in what their arm says, and are run once."""

from pathlib import Path

import pytest

from experiments.trials import Trial, changed, merged, read_sections, run_trials
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute


def test_a_change_reaches_its_place_and_nothing_else() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": 3}

    assert merged(before, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}
    assert before["a"] == {"b": 1, "c": 2}


def test_an_arm_is_a_preset_with_changes_that_are_checked() -> None:
    base = read_sections("border-weights", "unet2d-plain", {"train": {"epochs": 2}})
    other = changed(base, train={"augmentation": {"elastic_deviation": 10}})

    assert base.train.epochs == other.train.epochs == 2
    assert other.train.augmentation.elastic_deviation == 10
    assert other.train.augmentation.flip == base.train.augmentation.flip
    with pytest.raises(DataError, match="elastic"):
        changed(base, train={"augmentation": {"elastic": 10}})


def test_a_finished_trial_is_not_run_again_until_something_changes(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    write_text(paths.data / "dataset.json", "{}")
    base = read_sections("border-weights", "unet2d-plain", {})
    ran = []

    def work(trial: Trial, compute: Compute) -> dict[str, float]:
        ran.append(trial.name)
        return {"Dice": trial.seed / 10}

    arms = [Trial("with, all", seed, base) for seed in (1, 2)]
    found = run_trials(arms, work, paths=paths)

    assert found == {"with, all": [{"Dice": 0.1}, {"Dice": 0.2}]}
    assert run_trials(arms, work, paths=paths) == found
    assert ran == ["with-all-1", "with-all-2"]
    longer = changed(base, train={"epochs": base.train.epochs + 1})
    run_trials([Trial("with, all", 1, longer)], work, paths=paths)
    write_text(paths.data / "dataset.json", "{ }")
    run_trials(arms[:1], work, paths=paths)
    assert len(ran) == 4
