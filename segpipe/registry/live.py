"""A training in progress as a live MLflow run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from segpipe.project.paths import Paths
from segpipe.registry.commit import git_tags
from segpipe.registry.runs import connect, find_or_create_pair, log_rows, tracking_uri
from segpipe.training.record import TrainingRecord

log = logging.getLogger(__name__)


class LiveRun:
    """A training's run while it goes on."""

    def __init__(self, client: MlflowClient | None, run: Run | None) -> None:
        self._client = client
        self._run = run

    def log(self, rows: list[dict[str, float]]) -> None:
        """Add rows of the history, by epoch; what is there already is left alone."""
        if self._client is None or self._run is None:
            return
        try:
            log_rows(self._client, self._run, rows, step_name="epoch")
        except MlflowException as error:
            self._give_up(error)

    def close(self, status: str) -> None:
        """Say how it ended: FINISHED or FAILED."""
        if self._client is None or self._run is None:
            return
        try:
            self._client.set_terminated(self._run.info.run_id, status)
        except MlflowException as error:
            self._give_up(error)

    def _give_up(self, error: MlflowException) -> None:
        log.warning(
            "MLflow cannot be reached (%s): training goes on, `segpipe record` "
            "completes the run later",
            str(error).splitlines()[0][:200],
        )
        self._client = None


@contextmanager
def live_run(
    paths: Paths, *, record: TrainingRecord, tags: dict[str, str]
) -> Iterator[LiveRun]:
    """Stream a training to MLflow while it goes on, and how busy the machine is.

    Args:
        paths: Of the project.
        record: What the training is made from.
        tags: More to know, such as the device.
    """
    live = LiveRun(None, None)
    monitor: SystemMetricsMonitor | None = None
    try:
        client, experiment = connect(paths)
        _, run = find_or_create_pair(
            client,
            experiment,
            record=record,
            tags={**tags, **git_tags(paths.root)},
        )
        client.set_tag(run.info.run_id, "segpipe.live", "true")
        client.update_run(run.info.run_id, status="RUNNING")
        live = LiveRun(client, run)
        monitor = SystemMetricsMonitor(
            run.info.run_id, resume_logging=True, tracking_uri=tracking_uri(paths)
        )
        monitor.start()
    except MlflowException as error:
        live._give_up(error)
    try:
        yield live
    except BaseException:
        live.close("FAILED")
        raise
    finally:
        if monitor is not None:
            monitor.finish()
    live.close("FINISHED")
