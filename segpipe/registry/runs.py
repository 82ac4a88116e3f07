"""Runs: what MLflow remembers of a training; found by key, never by "latest".

No result depends on what stands here. A server that cannot be reached stops nothing: it
is said once, and the `record` tool completes the runs later from artifacts/.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
)
from sqlalchemy.exc import SQLAlchemyError

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.training.record import TrainingRecord

log = logging.getLogger(__name__)
EXPERIMENT = "segpipe"
KEY = "segpipe.key"
PARENT = MLFLOW_PARENT_RUN_ID
ATTACHED = "segpipe.attached"
SEGMENTER = "segpipe.segmenter"
DATA = "segpipe.data"
NUMBER = "segpipe.number"  # of a parent, in the order of arrival
PATIENCE_S = 10.0


def tracking_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, else mlflow.db at the project's root."""
    root = paths.root.resolve()
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root}/mlflow.db"


def connect(paths: Paths) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment, made if need be.

    Raises:
        MlflowException: If the server cannot be reached, within seconds, or the local
            store cannot be opened, which MLflow itself lets through as it comes.
    """
    try:
        return _connect(paths)
    except (OSError, SQLAlchemyError) as error:
        raise MlflowException(f"{type(error).__name__}: {error}") from error


def _connect(paths: Paths) -> tuple[MlflowClient, str]:
    for name, value in (
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
    ):
        os.environ.setdefault(name, value)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uri = tracking_uri(paths)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    place = None
    if uri.startswith("sqlite:"):
        place = (paths.root.resolve() / "mlartifacts").as_uri()
    return client, client.create_experiment(EXPERIMENT, artifact_location=place)


def find_run(client: MlflowClient, experiment: str, key: str) -> Run | None:
    """The run of a key, if there is one."""
    return find_tagged(client, experiment, KEY, key)


def find_tagged(
    client: MlflowClient, experiment: str, tag: str, value: str
) -> Run | None:
    """A run with a value of a tag, if there is one."""
    runs = client.search_runs(
        [experiment], filter_string=f"tags.`{tag}` = '{value}'", max_results=1
    )
    return runs[0] if runs else None


def set_tags(client: MlflowClient, run: Run, tags: dict[str, str]) -> None:
    """Set the tags that a run lacks or has otherwise."""
    for name, value in tags.items():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)


@dataclass(frozen=True)
class TrainingRun:
    """A run that made a segmenter, for people.

    Attributes:
        name: Of the run.
        run_id: Of the run.
        began: When, in UTC.
        tags: All of them.
    """

    name: str
    run_id: str
    began: datetime
    tags: dict[str, str]


def find_training(paths: Paths, digest: str, run_id: str | None) -> TrainingRun | None:
    """The run that made the segmenter of a digest, or else the run of an id.

    Raises:
        DataError: If the store cannot be reached.
    """
    try:
        client, experiment = connect(paths)
        run = find_tagged(client, experiment, SEGMENTER, digest)
        if run is None and run_id is not None:
            run = client.get_run(run_id)
    except MlflowException as error:
        raise DataError(
            f"{tracking_uri(paths)}: expected an MLflow store, found "
            f"{error.message.splitlines()[0]}; set MLFLOW_TRACKING_URI"
        ) from error
    if run is None:
        return None
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return TrainingRun(run.info.run_name, run.info.run_id, began, dict(run.data.tags))


def create_run(
    client: MlflowClient,
    experiment: str,
    *,
    key: str,
    name: str,
    params: dict[str, Any],
    tags: dict[str, str],
    parent: str | None,
) -> Run:
    """Start a run; params are flattened to ``optimizer.learning_rate`` and so on."""
    more = {KEY: key, MLFLOW_RUN_NAME: name, **tags}
    if parent is not None:
        more[MLFLOW_PARENT_RUN_ID] = parent
    run = client.create_run(experiment, tags=more, run_name=name)
    client.log_batch(
        run.info.run_id,
        params=[Param(k, str(v)) for k, v in _flatten(params).items()],
    )
    return run


def find_or_create_pair(
    client: MlflowClient,
    experiment: str,
    *,
    record: TrainingRecord,
    tags: dict[str, str],
) -> tuple[Run, Run]:
    """The runs of a training, parent (its model) and child (its fold).

    Folds that start at the same time may each make a parent, as MLflow knows no unique
    key: all agree on one, and whoever made another deletes it.

    Args:
        client: Of the server.
        experiment: Its id.
        record: What the training was made from.
        tags: More to know of a child that is new.
    """
    model, params = record.model, record.params
    inputs = {f"segpipe.inputs.{k}": v for k, v in record.inputs.items()}
    about = {"segpipe.stage": "train", "segpipe.model": model, **inputs}
    parent = _agree(client, experiment, record.parent)
    if parent is None:
        mine = create_run(
            client,
            experiment,
            key=record.parent,
            name=model,
            params=params,
            tags=about,
            parent=None,
        )
        _take_number(client, experiment, record.parent, mine)
        parent = _agree(client, experiment, record.parent) or mine
        if parent.info.run_id != mine.info.run_id:
            client.delete_run(mine.info.run_id)
    child = find_run(client, experiment, record.fingerprint)
    if child is None:
        child = create_run(
            client,
            experiment,
            key=record.fingerprint,
            name=f"{model}-{record.fold}",
            params=params,
            tags={**about, "segpipe.fold": str(record.fold), **tags},
            parent=parent.info.run_id,
        )
    set_tags(client, child, {MLFLOW_PARENT_RUN_ID: parent.info.run_id})
    return parent, child


def _take_number(client: MlflowClient, experiment: str, key: str, mine: Run) -> None:
    """Queue behind all runs of a key that have a number.

    The time at which a run began would not do: of two, the one that began first may
    arrive last, when the other has looked around and gone on.

    Source:
        The bakery algorithm, Lamport 1974, doi:10.1145/361082.361093.
    """
    others = _runs_of(client, experiment, key)
    last = max((int(run.data.tags.get(NUMBER, 0)) for run in others), default=0)
    client.set_tag(mine.info.run_id, NUMBER, str(last + 1))


def _agree(client: MlflowClient, experiment: str, key: str) -> Run | None:
    """The run of a key that all processes take; waits for those that draw a number.

    One without a number for some seconds belongs to a process that died, or to an older
    segpipe.
    """
    while True:
        runs = _runs_of(client, experiment, key)
        recent = (time.time() - PATIENCE_S) * 1000
        if all(NUMBER in r.data.tags or r.info.start_time < recent for r in runs):
            break
        time.sleep(0.05)
    return min(
        runs,
        key=lambda run: (int(run.data.tags.get(NUMBER, 0)), run.info.run_id),
        default=None,
    )


def _runs_of(client: MlflowClient, experiment: str, key: str) -> list[Run]:
    found = client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'")
    return list(found)


def log_rows(
    client: MlflowClient, run: Run, rows: list[dict[str, float]], *, step_name: str
) -> int:
    """Log the rows of a history whose step is not there yet; returns how many."""
    run_id = run.info.run_id
    known = client.get_metric_history(run_id, "training_loss")
    last = max((metric.step for metric in known), default=-1)
    new = [row for row in rows if row[step_name] > last]
    now = int(time.time() * 1000)
    metrics = [
        Metric(metric_name(name), value, now, int(row[step_name]))
        for row in new
        for name, value in row.items()
        if name != step_name and value == value  # not NaN
    ]
    for start in range(0, len(metrics), 500):
        client.log_batch(run_id, metrics=metrics[start : start + 500])
    return len(new)


def finish(client: MlflowClient, run: Run) -> bool:
    """Say of a run that it is complete; whether that was news."""
    known: Run = client.get_run(run.info.run_id)
    if known.info.status == "FINISHED":
        return False
    client.set_terminated(run.info.run_id, "FINISHED")
    return True


def attach(
    client: MlflowClient,
    run: Run,
    *,
    metrics: dict[str, float],
    files: dict[str, Path],
    description: str,
    digest: str,
) -> bool:
    """Add figures and files to a run, unless the same ones are there already.

    Args:
        client: Of the server.
        run: Whose.
        metrics: Name to value.
        files: Path inside the run's artifacts to the file; folders are made.
        description: Markdown, shown on the run's first page.
        digest: Of metrics and files; kept as a tag.

    Returns:
        Whether anything was added.
    """
    run_id = run.info.run_id
    if client.get_run(run_id).data.tags.get(ATTACHED) == digest:
        return False
    now = int(time.time() * 1000)
    points = [Metric(name, value, now, 0) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=points)
    for place, file in files.items():
        client.log_artifact(run_id, str(file), str(Path(place).parent))
    client.set_tag(run_id, MLFLOW_RUN_NOTE, description)
    client.set_tag(run_id, ATTACHED, digest)
    return True


@contextmanager
def reachable(paths: Paths) -> Iterator[tuple[MlflowClient, str]]:
    """A client and the experiment's id, where the server is needed.

    Raises:
        DataError: If it cannot be reached or refuses.
    """
    try:
        yield connect(paths)
    except MlflowException as error:
        raise DataError(
            f"{tracking_uri(paths)}: expected an MLflow server or store, found: "
            f"{str(error).splitlines()[0][:200]}; start it, or set MLFLOW_TRACKING_URI"
        ) from error


def find_stale_runs(
    client: MlflowClient,
    experiment: str,
    *,
    keep: set[str],
    saved: set[str],
    before: float,
) -> list[Run]:
    """Runs whose key is none of those to keep, and that ended before a time.

    Args:
        client: Of the server.
        experiment: Its id.
        keep: Keys of what lies in artifacts/.
        saved: Folders of checkpoints whose trainings may still go on, each named by
            the beginning of its key; their runs stay, and the parents of these.
        before: Seconds since 1970.
    """
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            break
    going_on = [
        run for run in runs if run.data.tags.get(KEY, "").startswith(tuple(saved))
    ]
    parents = {run.data.tags.get(MLFLOW_PARENT_RUN_ID) for run in going_on}
    needed = parents | {run.info.run_id for run in going_on}
    return [
        run
        for run in runs
        if run.data.tags.get(KEY, "") not in keep
        and KEY in run.data.tags
        and run.info.run_id not in needed
        and (run.info.end_time or run.info.start_time) < before * 1000
    ]


def metric_name(name: str) -> str:
    """The name with what MLflow does not take replaced; ``/`` makes groups."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _flatten(params: dict[str, Any], lead: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{lead}{name}.")
        else:
            flat[f"{lead}{name}"] = value
    return flat
