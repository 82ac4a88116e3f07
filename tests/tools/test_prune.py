"""Pruning lists what nothing needs, and deletes no more than it listed."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from segpipe.dataset.prepared import CaseIndex, index_file
from segpipe.project.paths import Paths
from segpipe.registry.runs import find_or_create_pair
from segpipe.registry.store import connect
from segpipe.tools.prune import find_prunable, prune
from segpipe.training.checkpoints import hold_checkpoints
from tests.support.store_kills import kill_before_each_write
from tests.support.trainings import training_record, write_training

LONG_AGO = 1e9


def write_entry(folder: Path, *, old: bool) -> Path:
    folder.mkdir(parents=True)
    (folder / "image.npy").write_bytes(b"0" * 1000)
    if old:
        os.utime(folder, (LONG_AGO, LONG_AGO))
    return folder


def test_finished_cases_go_that_are_old_and_in_no_index(paths: Paths) -> None:
    cache = paths.cache / "preprocess"
    unused = write_entry(cache / "unused", old=True)
    used = write_entry(cache / "used", old=True)
    recent = write_entry(cache / "recent", old=False)
    index = CaseIndex(format_version=1, cases={"case_00": "used"})
    index.write(index_file(paths.artifacts / "preprocess"))

    items = find_prunable(paths, days=7.0)
    assert unused.is_dir()
    prune(paths, items)

    assert [item.place for item in items] == [unused]
    assert items[0].size == 1000
    assert not unused.exists()
    assert used.is_dir()
    assert recent.is_dir()


def test_a_case_of_a_stage_without_index_goes_by_age_alone(paths: Paths) -> None:
    old = write_entry(paths.cache / "plan" / "old", old=True)
    write_entry(paths.cache / "plan" / "recent", old=False)

    (item,) = find_prunable(paths, days=7.0)

    assert item.place == old
    assert "not used lately" in item.why


def test_interrupted_trainings_go_when_nobody_went_on(paths: Paths) -> None:
    old = write_entry(paths.checkpoints / "train" / "a", old=True)
    write_entry(paths.checkpoints / "train" / "b", old=False)

    items = find_prunable(paths, days=7.0)

    assert [item.place for item in items] == [old]
    assert "interrupted" in str(items[0])
    write_entry(old / "coarse", old=False)  # it went on with its coarse network
    os.utime(old, (0, 0))
    assert find_prunable(paths, days=7.0) == []


def test_runs_go_whose_training_lies_no_longer_in_artifacts(paths: Paths) -> None:
    client, experiment = connect(paths)
    for seed in (1, 2):
        record = training_record("vnet", 0, seed=seed)
        find_or_create_pair(client, experiment, record=record, tags={})
    write_training(paths, "vnet", 0, seed=2)

    assert not find_prunable(paths, days=7.0)  # too young
    items = find_prunable(paths, days=-1.0)
    prune(paths, items)

    assert len(items) == 2
    left = {run.data.tags["segpipe.key"] for run in client.search_runs([experiment])}
    assert left == {"vnet-0-2", "vnet-2"}


def test_killed_before_each_write_and_repeated_it_ends_the_same(paths: Paths) -> None:
    """The runs of a registered segmenter, and a training in artifacts, are kept."""
    client, experiment = connect(paths)
    for seed in (1, 2, 3):
        record = training_record("vnet", 0, seed=seed)
        parent, _ = find_or_create_pair(client, experiment, record=record, tags={})
    client.create_registered_model("liver")
    client.create_model_version("liver", str(paths.root), parent.info.run_id)
    write_training(paths, "vnet", 0, seed=2)

    def act() -> None:
        write_entry(paths.cache / "plan" / "old", old=True)
        prune(paths, find_prunable(paths, days=-1.0))
        assert not list((paths.cache / "plan").iterdir())

    assert kill_before_each_write(paths, act, name="liver") == 2
    assert len(client.search_runs([experiment])) == 4


def test_the_runs_of_a_registered_segmenter_stay(paths: Paths) -> None:
    client, experiment = connect(paths)
    record = training_record("vnet", 0)
    parent, _ = find_or_create_pair(client, experiment, record=record, tags={})
    client.create_registered_model("liver")
    client.create_model_version("liver", str(paths.root), parent.info.run_id)

    assert not find_prunable(paths, days=-1.0)


def test_the_run_of_a_long_training_stays_while_it_saves_checkpoints(
    paths: Paths,
) -> None:
    key = "a" * 64
    client, experiment = connect(paths)
    record = training_record("vnet", 0).model_copy(update={"fingerprint": key})
    find_or_create_pair(client, experiment, record=record, tags={})
    assert len(find_prunable(paths, days=-1.0)) == 2
    folder = write_entry(paths.checkpoints / "train" / key[:20], old=False)
    os.utime(folder, (4e9, 4e9))  # after the time that a negative age means

    assert not find_prunable(paths, days=-1.0)


def test_runs_on_a_server_are_left_to_those_who_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not even asked: nothing listens there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert find_prunable(Paths(tmp_path), days=0.0) == []


def test_what_is_in_use_stays(paths: Paths) -> None:
    """A scratch project, a copy of the champion and a temporary folder."""
    scratch = write_entry(paths.cache / "densify" / "unet3d", old=True)
    (scratch / "artifacts").mkdir()  # a command works below
    os.utime(scratch, (LONG_AGO, LONG_AGO))
    champion = write_entry(paths.cache / "registry" / "liver" / "1-abc", old=False)
    os.utime(champion.parent, (LONG_AGO, LONG_AGO))
    write_entry(paths.cache / "comparison" / ".work-a", old=False)

    assert not [i for i in find_prunable(paths, days=7.0) if "work" not in str(i)]
    temporary = [i for i in find_prunable(paths, days=-1.0) if ".work" in str(i)]
    assert not temporary


def test_the_checkpoints_of_a_training_that_runs_stay(paths: Paths) -> None:
    folder = write_entry(paths.checkpoints / "train" / "a", old=True)

    with hold_checkpoints(folder):
        assert not find_prunable(paths, days=7.0)

    assert [item.place for item in find_prunable(paths, days=7.0)] == [folder]


def test_a_training_that_was_continued_since_the_list_keeps_its_checkpoints(
    paths: Paths,
) -> None:
    folder = write_entry(paths.checkpoints / "train" / "a", old=True)
    gone = write_entry(paths.checkpoints / "train" / "b", old=True)
    items = find_prunable(paths, days=7.0)
    shutil.rmtree(gone)  # the training ended

    with hold_checkpoints(folder):
        prune(paths, items)
        assert (folder / "image.npy").is_file()

    prune(paths, items)
    assert not folder.exists()


def test_what_vanishes_while_prune_looks_is_passed_over(paths: Paths) -> None:
    """A command works in a scratch project and in the checkpoints."""
    scratch = write_entry(paths.cache / "densify" / "unet3d", old=True)
    other = paths.checkpoints / "train" / "b"
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for folder in (scratch / "artifacts" / "part", other):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "state").write_bytes(b"0")
                shutil.rmtree(folder)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in range(60):
            find_prunable(paths, days=7.0)
    finally:
        stop.set()
        thread.join(60)
