"""A training is streamed to MLflow, and no fault of the server stops it."""

import logging
import time

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.live import live_run
from segpipe.registry.runs import find_run
from segpipe.registry.store import connect, reachable
from tests.support.stores import ROWS, made_from


def test_a_training_is_streamed_and_says_how_it_ended(paths: Paths) -> None:
    with live_run(paths, record=made_from(), tags={}) as live:
        live.log(ROWS)
    with (
        pytest.raises(KeyboardInterrupt),
        live_run(paths, record=made_from(1), tags={}),
    ):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), live_run(paths, record=made_from(2), tags={}):
        raise SystemExit(143)

    client, experiment = connect(paths)
    first = find_run(client, experiment, "k0")
    second = find_run(client, experiment, "k1")
    third = find_run(client, experiment, "k2")
    assert third
    assert third.info.status == "KILLED"
    assert third.info.end_time is not None
    assert first
    assert first.info.status == "FINISHED"
    assert first.data.metrics["validation_dice"] == 0.7
    assert first.data.metrics["validation_dice/left _L_"] == 0.6
    assert second
    assert second.info.status == "FAILED"


def test_the_run_of_a_model_ends_with_the_last_of_its_folds(paths: Paths) -> None:
    def status() -> str:
        parent = find_run(client, experiment, made_from().parent)
        assert parent
        return str(parent.info.status)

    client, experiment = connect(paths)
    with live_run(paths, record=made_from(), tags={}):
        with pytest.raises(SystemExit), live_run(paths, record=made_from(1), tags={}):
            raise SystemExit(143)

        assert status() == "RUNNING"

    assert status() == "FINISHED"


def test_an_unreachable_server_stops_no_training_and_is_said_once(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with (
        caplog.at_level(logging.WARNING, "segpipe"),
        live_run(paths, record=made_from(), tags={}) as live,
    ):
        live.log(ROWS)
        live.log(ROWS)

    warnings = [r for r in caplog.records if r.name == "segpipe.registry.live"]
    assert len(warnings) == 1
    assert "segpipe record" in warnings[0].getMessage()


@pytest.mark.parametrize("damage", ["no folder", "no database"])
def test_a_store_that_cannot_be_opened_stops_no_training(
    damage: str,
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = paths.root / "runs.db"
    store.write_text("a table of sheep " * 100)
    if damage == "no folder":
        store = store / "below a file" / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")

    with (
        caplog.at_level(logging.WARNING, "segpipe"),
        live_run(paths, record=made_from(), tags={}) as live,
    ):
        live.log(ROWS)

    assert "segpipe record" in caplog.text
    with pytest.raises(DataError, match=r"runs\.db"), reachable(paths):
        pass


def test_how_busy_the_machine_is_stands_beside_the_curves(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with live_run(paths, record=made_from(), tags={}):
        time.sleep(1)

    client, experiment = connect(paths)
    run = find_run(client, experiment, made_from().fingerprint)
    assert run is not None
    assert 0 <= run.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0
