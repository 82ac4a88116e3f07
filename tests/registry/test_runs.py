"""Runs are found by key and never doubled."""

import subprocess
import sys
from typing import Any

from segpipe.project.paths import Paths
from segpipe.registry.runs import (
    attach,
    find_or_create_pair,
    find_stale_runs,
    finish,
    log_rows,
)
from segpipe.registry.store import connect
from tests.support.places import ROOT
from tests.support.stores import ROWS, made_from


def test_a_fold_is_a_child_of_its_model_and_neither_comes_twice(paths: Paths) -> None:
    client, experiment = connect(paths)
    parent, child = find_or_create_pair(
        client, experiment, record=made_from(0), tags={"device": "cpu"}
    )
    again, _ = find_or_create_pair(client, experiment, record=made_from(1), tags={})
    find_or_create_pair(client, experiment, record=made_from(0), tags={})

    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert again.info.run_id == parent.info.run_id
    assert len(client.search_runs([experiment])) == 3
    assert child.data.tags["segpipe.inputs.plan"] == "abc"
    params = client.get_run(child.info.run_id).data.params
    assert params["optimizer.learning_rate"] == "0.01"


RACE = """
import sys, time
from pathlib import Path
from segpipe.project.paths import Paths
from segpipe.registry.runs import find_or_create_pair
from segpipe.registry.store import connect
from segpipe.training.record import TrainingRecord
root, fold = Path(sys.argv[1]), int(sys.argv[2])
client, experiment = connect(Paths(root))
for n in range(10):
    (root / f"{n}-{fold}").touch()
    deadline = time.monotonic() + 120  # the other may have died
    while not (root / f"{n}-{1 - fold}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    record = TrainingRecord(
        format_version=1, fingerprint=f"{n}-{fold}", parent=f"{n}", fold=fold,
        model="vnet", params={"a": 1}, compute={}, inputs={}, versions={},
    )
    find_or_create_pair(client, experiment, record=record, tags={})
"""


def test_two_folds_that_start_at_the_same_time_share_one_parent(paths: Paths) -> None:
    client, experiment = connect(paths)
    words = [sys.executable, "-c", RACE, str(paths.root)]
    both = [subprocess.Popen([*words, fold], cwd=ROOT) for fold in ("0", "1")]

    assert [process.wait(240) for process in both] == [0, 0]
    runs = client.search_runs([experiment])
    of_key = {run.data.tags["segpipe.key"]: run for run in runs}
    assert len(runs) == len(of_key) == 30
    for n in range(10):
        for fold in (0, 1):
            parent = of_key[f"{n}-{fold}"].data.tags["mlflow.parentRunId"]
            assert parent == of_key[str(n)].info.run_id


def test_of_two_parents_the_one_that_arrived_first_counts_and_folds_move_there(
    paths: Paths,
) -> None:
    """One that has no number is of a process that died, or of an older segpipe."""
    client, experiment = connect(paths)
    _, child = find_or_create_pair(client, experiment, record=made_from(0), tags={})
    known = {"segpipe.key": "parent-k"}
    older = client.create_run(experiment, start_time=1, tags=known)

    parent, child = find_or_create_pair(
        client, experiment, record=made_from(0), tags={}
    )

    assert parent.info.run_id == older.info.run_id
    tags = client.get_run(child.info.run_id).data.tags
    assert tags["mlflow.parentRunId"] == older.info.run_id


def test_a_history_is_completed_not_doubled(paths: Paths) -> None:
    client, experiment = connect(paths)
    _, child = find_or_create_pair(client, experiment, record=made_from(), tags={})

    assert log_rows(client, child, ROWS[:1]) == 1
    assert log_rows(client, child, ROWS) == 1
    assert log_rows(client, child, ROWS) == 0
    history = client.get_metric_history(child.info.run_id, "training_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.9), (2, 0.5)]


def test_figures_and_files_are_attached_once_a_digest(paths: Paths) -> None:
    client, experiment = connect(paths)
    run, _ = find_or_create_pair(client, experiment, record=made_from(), tags={})
    file = paths.root / "report.png"
    file.write_bytes(b"\x89PNG")
    what: dict[str, Any] = {
        "metrics": {"test/dice": 0.8},
        "files": {"report/report.png": file},
        "description": "| Dice |",
    }

    assert attach(client, run, **what, digest="one")
    assert not attach(client, run, **what, digest="one")
    assert attach(client, run, **what, digest="two")
    run_id = run.info.run_id
    assert client.get_run(run_id).data.metrics == {"test/dice": 0.8}
    assert client.get_run(run_id).data.tags["mlflow.note.content"] == "| Dice |"
    assert [f.path for f in client.list_artifacts(run_id, "report")] == [
        "report/report.png"
    ]
    assert finish(client, run)
    assert not finish(client, run)


def test_stale_runs_are_old_and_of_no_key_to_keep(paths: Paths) -> None:
    client, experiment = connect(paths)
    for key in ("old", "new"):
        find_or_create_pair(client, experiment, record=made_from(key=key), tags={})
    client.create_run(experiment)  # somebody else's, without a key

    later = 4e9
    stale = find_stale_runs(
        client, experiment, keep={"new0", "parent-new"}, saved=set(), before=later
    )

    assert {run.data.tags["segpipe.key"] for run in stale} == {"old0", "parent-old"}
    assert not find_stale_runs(client, experiment, keep=set(), saved=set(), before=0.0)
    (going_on, its_parent) = find_stale_runs(
        client, experiment, keep=set(), saved={"old"}, before=later
    )
    assert {run.data.tags["segpipe.key"] for run in (going_on, its_parent)} == {
        "new0",
        "parent-new",
    }
