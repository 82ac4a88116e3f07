"""Runs of what lies in artifacts/: complete, and never twice."""

import pytest

from segpipe.evaluation.figures import rows_file
from segpipe.evaluation.report.page import key_file, page_file
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.record import record
from segpipe.registry.runs import find_run
from segpipe.registry.store import connect
from tests.support.evaluations import make_figures, write_figures
from tests.support.store_kills import kill_before_each_write
from tests.support.trainings import write_training


def write_results(paths: Paths, model: str, *, dice: float) -> None:
    dataset = {"dice_dataset": {"left (L)": 0.7}}
    write_figures(paths, make_figures(dice, model=model, dataset=dataset))
    write_text(page_file(paths.artifacts), f"<p>{dice}</p>")
    write_text(key_file(paths.artifacts), "number,case,patient\ncase 1,a,smith\n")
    write_text(rows_file(paths.artifacts, model), "case,structure\nsmith,liver\n")


@pytest.fixture
def paths(paths: Paths) -> Paths:
    write_text(paths.params, "format_version: 1\nmodels: [a, b]\nfolds: [0, 1]\n")
    return paths


def test_a_restored_training_gets_its_run_and_the_parent_the_figures(
    paths: Paths,
) -> None:
    write_training(paths, "a", 0)
    write_training(paths, "a", 1)
    write_results(paths, "a", dice=0.8)
    record(paths)

    client, experiment = connect(paths)
    parent, child = (find_run(client, experiment, key) for key in ("a-0", "a-1-0"))
    assert parent
    assert parent.data.metrics["test/dice"] == 0.8
    assert parent.data.metrics["test/pa"] == 0.9
    assert parent.data.metrics["dataset/dice_dataset/left _L_"] == 0.7
    assert parent.info.status == "FINISHED"
    files = client.list_artifacts(parent.info.run_id, "report")
    assert [file.path for file in files] == ["report/index.html"]
    assert child
    assert child.data.metrics["validation_iou"] == 0.6
    assert child.data.tags["device"] == "cpu, fp32, 1 threads"


def test_nothing_that_mlflow_keeps_names_a_case_and_what_did_is_deleted(
    paths: Paths,
) -> None:
    """An older segpipe attached the figures of each case by name."""
    write_training(paths, "a", 0)
    write_results(paths, "a", dice=0.8)
    record(paths)
    client, experiment = connect(paths)
    parent = find_run(client, experiment, "a-0")
    assert parent
    rows = rows_file(paths.artifacts, "a")
    client.log_artifact(parent.info.run_id, str(rows), "evaluate")
    write_results(paths, "a", dice=0.9)
    record(paths)

    kept = [file for file in paths.store_files.rglob("*") if file.is_file()]
    assert {file.name for file in kept} == {"index.html", "metrics.json"}
    assert not [file for file in [paths.store, *kept] if b"smith" in file.read_bytes()]


def test_recording_twice_changes_nothing(paths: Paths) -> None:
    write_training(paths, "a", 0)
    write_results(paths, "a", dice=0.8)

    first, second = record(paths), record(paths)

    assert [line.split()[0] for line in first] == ["recorded", "recorded", "in"]
    assert [line.split()[0] for line in second] == ["unchanged", "unchanged", "in"]
    client, experiment = connect(paths)
    assert len(client.search_runs([experiment])) == 2


def test_killed_before_each_write_and_repeated_it_ends_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before its params, say, gets them from the next call.

    The writes: the model's run (create, params, number), the fold's run (create,
    params, segmenter, rows, status), figures, two files, two tags, status.
    """
    monkeypatch.setattr("segpipe.registry.runs.PATIENCE_S", 0.0)
    write_text(paths.params, "format_version: 1\nmodels: [a]\nfolds: [0]\n")
    write_training(paths, "a", 0)
    write_results(paths, "a", dice=0.8)

    assert kill_before_each_write(paths, lambda: record(paths), name="liver") == 15


def test_new_figures_complete_the_run_that_is_there(paths: Paths) -> None:
    write_training(paths, "a", 0)
    record(paths)
    write_results(paths, "a", dice=0.8)
    record(paths)
    write_results(paths, "a", dice=0.9)
    lines = record(paths)

    assert lines[0].startswith("unchanged")
    assert lines[1].startswith("recorded")
    client, experiment = connect(paths)
    parent = find_run(client, experiment, "a-0")
    assert parent
    assert parent.data.metrics["test/dice"] == 0.9
    assert len(client.search_runs([experiment])) == 2


def test_only_listed_folds_are_recorded(paths: Paths) -> None:
    write_training(paths, "a", 0)
    write_training(paths, "a", 7)
    write_training(paths, "dropped", 0)

    lines = record(paths)

    assert [line.split()[1] for line in lines[:-1]] == ["a,", "a,"]
    assert not any("7" in line for line in lines[:-1])


def test_nothing_trained_is_said_with_the_mend(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"found none of a, b; run `dvc repro`"):
        record(paths)
