"""The flow segments a real inbox, under a real Prefect, in real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType

from flows.segment import runner_at, segment
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.segmenting.manifest import Failure, Manifest
from tests.support.approved import CHAMPION, let_it_expire, move_by_hand
from tests.support.dicoms import SECRETS, write_series
from tests.support.phantoms import write_volume
from tests.support.places import ROOT
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.task_runs import read_task_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_segmenter(tmp_path_factory.mktemp("m") / "segmenter", make_plan())


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for number in range(6):
        write_volume(tmp_path / "in" / f"case_{number}.nii.gz", seed=number)
    return tmp_path / "in"


def run(inbox: Path, model: Path | str, **more: Any) -> State[Any]:
    given = {"settle_s": 0.0, "workers": 2, **more}
    output = str(inbox.parent / "out")
    return segment(str(inbox), output, str(model), return_state=True, **given)


def cases(inbox: Path) -> set[str]:
    output = inbox.parent / "out"
    return {path.name.removesuffix(".nii.gz") for path in output.glob("*.nii.gz")}


def failures(inbox: Path) -> dict[str, Failure]:
    found = (inbox.parent / "out").rglob("*.failed.json")
    return {one.case: one for one in map(Failure.read, found)}


def written(inbox: Path) -> dict[str, int]:
    output = inbox.parent / "out"
    return {path.stem: path.stat().st_mtime_ns for path in output.glob("case_?.json")}


def read_artifacts() -> dict[str, Any]:
    """The latest of each key."""
    with get_client(sync_client=True) as client:
        latest = client.read_latest_artifacts()
    return {one.key: one.data for one in latest if one.key}


def count_task_runs(state: State[Any], number: int) -> Counter[StateType | None]:
    run = state.state_details.flow_run_id
    assert run
    return Counter(read_task_runs(run, number).values())


def command(inbox: Path, model: Path, *words: str) -> list[str]:
    given = [str(inbox), "--output", str(inbox.parent / "out"), "--model", str(model)]
    start = [sys.executable, "-m", "flows.segment", *given, "--settle-s", "0"]
    return [*start, "--workers", "2", *words]


def environment(api: str) -> dict[str, str]:
    return {**os.environ, "PREFECT_API_URL": api}


def test_a_table_that_cannot_be_written_hides_no_failure(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder in its place fails as a full disk does: at the very end.

    The log has a line for each case, as that of the command, and each warning.
    """
    write_volume(tmp_path / "in" / "good.nii.gz", shape=(50, 18, 20))
    (tmp_path / "in" / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08")
    (tmp_path / "out" / "volumes.csv" / "x").mkdir(parents=True)

    with caplog.at_level("INFO"):
        state = run(tmp_path / "in", model)

    assert state.is_failed()
    assert str(state.message).startswith("1 of 2 failed: cut; 1 segmented")
    (line,) = [text for text in caplog.messages if " of 2  good: liver " in text]
    assert any(" of 2  cut failed: " in text for text in caplog.messages)
    (warning,) = Manifest.read(tmp_path / "out" / "good.json").warnings
    assert f"good: {warning}" in caplog.messages
    assert "1 warning)" in line
    assert "volumes.csv" in str(state.message)
    assert cases(tmp_path / "in") == {"good"}
    assert set(failures(tmp_path / "in")) == {"cut"}


@pytest.mark.parametrize("attack", [move_by_hand, let_it_expire])
def test_a_champion_that_is_not_approved_segments_nobody(
    inbox: Path,
    reviewed_once: Path,
    attack: Callable[[Paths], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person moved the alias on MLflow's page, or a year has passed."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = inbox.parent / "project"
    shutil.copytree(reviewed_once, root)
    attack(Paths(root))

    state = run(inbox, CHAMPION, root=str(root))

    assert state.is_failed()
    with pytest.raises(DataError, match="expected an approved segmenter, found that"):
        state.result()
    assert not cases(inbox)


def test_failures_are_named_and_stop_no_other_case(inbox: Path, model: Path) -> None:
    (inbox / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08")
    (inbox / "scan.nii").write_bytes(b"")

    state = run(inbox, model)

    assert state.is_failed()
    assert state.message == "2 of 8 failed: cut, scan; 6 segmented"
    assert cases(inbox) == {f"case_{number}" for number in range(6)}
    assert {name: one.kind for name, one in failures(inbox).items()} == {
        "cut": "data",
        "scan": "data",
    }
    ended = count_task_runs(state, 8)
    assert ended == {StateType.COMPLETED: 6, StateType.FAILED: 2}
    artifacts = read_artifacts()
    assert {row["case"] for row in json.loads(artifacts["segment-results"])} == {
        f"case_{number}" for number in range(6)
    }
    reasons = {
        row["case"]: row["reason"] for row in json.loads(artifacts["segment-failures"])
    }
    assert "the copy failed: fetch it again" in reasons["scan"]
    assert artifacts["segment-progress"] == 100
    assert "volumes.csv" in artifacts["segment-summary"]

    again = run(inbox, model)

    assert again.is_completed()
    assert again.message == "0 segmented; 6 finished before; 2 known failures"
    assert not count_task_runs(again, 0)

    write_volume(inbox / "scan.nii", seed=9)
    mended = run(inbox, model, retry_failed=True)

    assert mended.message == "1 of 2 failed: cut; 1 segmented; 6 finished before"
    assert set(failures(inbox)) == {"cut"}


def test_a_cluster_of_two_processes_does_the_same(inbox: Path, model: Path) -> None:
    (inbox / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08")

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        state = run(inbox, model, dask=cluster.scheduler_address)
        again = run(inbox, model, dask=cluster.scheduler_address)

    assert state.message == "1 of 7 failed: cut; 6 segmented"
    assert set(failures(inbox)) == {"cut"}
    assert again.message == "0 segmented; 6 finished before; 1 known failures"


def test_killed_half_way_and_run_again_nothing_is_done_twice(
    inbox: Path, model: Path, prefect_api: str
) -> None:
    with subprocess.Popen(
        command(inbox, model), cwd=ROOT, env=environment(prefect_api)
    ) as process:
        while not (before := written(inbox)):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    time.sleep(1)  # its processes end with it
    before = written(inbox)

    state = run(inbox, model)

    after = written(inbox)
    assert state.is_completed(), state.message
    assert len(before) < len(after) == 6
    assert all(after[case] == made for case, made in before.items())
    assert not list((inbox.parent / "out").glob(".*"))


def test_of_two_runs_at_once_one_does_a_case(
    inbox: Path, model: Path, prefect_api: str
) -> None:
    with subprocess.Popen(
        command(inbox, model), cwd=ROOT, env=environment(prefect_api)
    ) as process:
        state = run(inbox, model)
    first = written(inbox)

    assert process.returncode == 0
    assert state.is_completed(), state.message
    done = [
        row
        for data in all_results()
        for row in json.loads(data)
        if row["case"] in first
    ]
    assert len(first) == 6
    assert Counter(row["case"] for row in done).most_common(1)[0][1] == 1


def all_results() -> list[str]:
    """Results of the last two flow runs."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts()
    tables = [one for one in found if one.key == "segment-results"]
    tables.sort(key=lambda one: str(one.created))
    return [str(one.data) for one in tables[-2:]]


def test_studies_still_being_written_wait(inbox: Path, model: Path) -> None:
    old = time.time() - 3600
    for path in inbox.iterdir():
        os.utime(path, (old, old))
    write_volume(inbox / "fresh.nii.gz", seed=7)

    state = run(inbox, model, settle_s=600.0)

    assert state.message == "6 segmented; 1 still being written"
    assert "fresh" not in cases(inbox)


def test_no_name_of_a_patient_reaches_prefect_or_the_results(
    tmp_path: Path, model: Path
) -> None:
    """A DICOM series lies in a folder that is called after a patient."""
    folder = tmp_path / "in" / "DOE_JANE_1970"
    write_series(folder)
    next(folder.iterdir()).write_bytes(b"\0" * 128 + b"DICMxx")

    state = run(tmp_path / "in", model)

    said = json.dumps([read_artifacts(), state.message], default=str)
    results = b"".join(
        path.read_bytes() for path in (tmp_path / "out").glob("*.json")
    ).decode()
    for secret in ("DOE_JANE", *SECRETS):
        assert secret not in said
        assert secret not in results


def test_an_empty_inbox_is_no_failure(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()

    assert run(tmp_path / "in", model).message == "0 segmented"


def test_the_parameters_explain_themselves() -> None:
    fields = segment.parameters.model_dump()["properties"]

    assert all(len(field.get("description", "")) > 10 for field in fields.values())


def test_a_cluster_without_its_packages_is_refused_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)

    with pytest.raises(DataError, match=r"pip install 'segpipe\[dask\]'"):
        runner_at("tcp://127.0.0.1:1", 1)
