"""A trial that needs another one takes what that one left, or says which is missing."""

from pathlib import Path

import pytest

from experiments.leaderboard.arms import build_trial
from experiments.leaderboard.sets import BOARDS, base_sections
from experiments.leaderboard.trial import go_on, read_length, result_file
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.segmenter import Segmenter
from segpipe.training.record import segmenter_folder, training_folder
from segpipe.training.task.pretrained import load_pretrained
from tests.support.segmenters import make_plan, save_segmenter

IMAGES = BOARDS["2d_dsb2018"]
NUMBER = "fcn8s, as many samples"


def test_an_arm_goes_on_from_the_segmenter_of_its_seed(paths: Paths) -> None:
    base = base_sections(IMAGES, device="cpu")
    second = build_trial(IMAGES.arm("context, on"), 2, base, "narrow")
    first = build_trial(IMAGES.arm(IMAGES.arm("context, on").first), 2, base, "narrow")
    with pytest.raises(DataError, match=f"run the trial {first.name} first"):
        go_on(second, first.name, paths)

    folder = segmenter_folder(training_folder(paths.artifacts, first.name, 0))
    folder.parent.mkdir(parents=True)
    save_segmenter(folder, make_plan(spacing=(1.0, 1.0, 2.0)), seed=0)
    gone_on = go_on(second, first.name, paths)

    start = load_pretrained(gone_on.sections.train.start_from, paths.root)
    assert isinstance(start, Segmenter)
    assert gone_on.name == second.name
    assert second.sections.train.start_from == "none"


def test_an_arm_takes_as_many_steps_as_another_took(tmp_path: Path) -> None:
    file = result_file(tmp_path, IMAGES.folder, IMAGES.arm(NUMBER).length_of, 1)
    with pytest.raises(DataError, match="run that one first"):
        read_length(file)

    write_json(file, {"epochs": 7, "steps": 133})
    assert read_length(file) == (7, 19)
