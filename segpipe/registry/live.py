"""Live: a training streams its history to its MLflow run while it is under way.

A server that cannot be reached stops no training: one warning says so, and
`segpipe record` completes the run later from artifacts/.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from segpipe.project.errors import DataError
from segpipe.project.origin.commit import git_tags
from segpipe.project.origin.study import code_tags
from segpipe.project.paths import Paths
from segpipe.registry.runs import find_or_create_pair, has_running_fold, log_rows
from segpipe.registry.store import connect, first_line, tracking_uri
from segpipe.training.record import TrainingRecord

log = logging.getLogger(__name__)


class LiveRun:
    """The run of a training that is under way, as long as the server can be reached."""

    def __init__(self) -> None:
        self._run: tuple[MlflowClient, Run] | None = None
        self._parent: Run | None = None

    def start(self, paths: Paths, record: TrainingRecord, tags: dict[str, str]) -> str:
        """Find or create the run and mark it as running; returns its id."""
        client, experiment = connect(paths)
        parent, run = find_or_create_pair(client, experiment, record=record, tags=tags)
        run_id = str(run.info.run_id)
        client.set_tag(run_id, "segpipe.live", "true")
        for one in (parent, run):
            client.update_run(one.info.run_id, status="RUNNING")
        self._run, self._parent = (client, run), parent
        return run_id

    def log(self, rows: list[dict[str, float]]) -> None:
        """Add rows of the history; epochs that are logged already are left alone."""
        if self._run is not None:
            with self.while_reachable():
                log_rows(*self._run, rows)

    def close(self, status: str) -> None:
        """Set how the training ended: FINISHED, FAILED or KILLED.

        The parent run, that of the model, ends with the last of its folds.
        """
        if self._run is not None and self._parent is not None:
            client, run = self._run
            with self.while_reachable():
                client.set_terminated(run.info.run_id, status)
                if not has_running_fold(client, self._parent):
                    client.set_terminated(self._parent.info.run_id, status)

    @contextmanager
    def while_reachable(self) -> Iterator[None]:
        """Give the run up, with one warning, when the server cannot be reached."""
        try:
            yield
        except (MlflowException, DataError) as error:
            why = str(error) if isinstance(error, DataError) else first_line(error)
            log.warning(
                "MLflow does not record the training (%s): it continues, "
                "`segpipe record` completes the run later",
                why,
            )
            self._run = None


@contextmanager
def live_run(
    paths: Paths, *, record: TrainingRecord, tags: dict[str, str]
) -> Iterator[LiveRun]:
    """Stream a training and the load of its machine to MLflow.

    Args:
        paths: The project's folders.
        record: What the training is made from.
        tags: Further tags of a new run, such as the device.
    """
    live = LiveRun()
    monitor: SystemMetricsMonitor | None = None
    with live.while_reachable():
        run_id = live.start(
            paths, record, {**tags, **git_tags(paths.root), **code_tags()}
        )
        monitor = SystemMetricsMonitor(
            run_id, resume_logging=True, tracking_uri=tracking_uri(paths)
        )
        monitor.start()
    try:
        yield live
    except SystemExit:  # the process was asked to end
        live.close("KILLED")
        raise
    except BaseException:
        live.close("FAILED")
        raise
    finally:
        if monitor is not None:
            monitor.finish()
    live.close("FINISHED")
