"""Runs: the MLflow runs of trainings, found by key and never by "latest".

No result depends on what is kept here.
"""

import logging
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
)

from segpipe.project.paths import Paths
from segpipe.registry.store import SEGMENTER, all_pages, first_line, reachable
from segpipe.training.record import TrainingRecord

log = logging.getLogger(__name__)
PARENT = MLFLOW_PARENT_RUN_ID
KEY = "segpipe.key"
ATTACHED = "segpipe.attached"
NUMBER = "segpipe.number"  # of a parent run, in the order of arrival
PATIENCE_S = 10.0
BATCH = 500  # metrics in a request


def find_run(
    client: MlflowClient, experiment: str, value: str, *, tag: str = KEY
) -> Run | None:
    """A run whose tag has a value, if there is one."""
    found = _find_runs(client, experiment, value, tag)
    return found[0] if found else None


def _find_runs(
    client: MlflowClient, experiment: str, value: str, tag: str = KEY
) -> list[Run]:
    query = f"tags.`{tag}` = '{value}'"
    return list(client.search_runs([experiment], filter_string=query))


def find_training(paths: Paths, digest: str, run_id: str | None) -> Run | None:
    """The run that trained the segmenter of a digest, or else the run of an id.

    Raises:
        DataError: If the store cannot be reached.
    """
    with reachable(paths) as (client, experiment):
        run = find_run(client, experiment, digest, tag=SEGMENTER)
        if run is None and run_id is not None:
            run = client.get_run(run_id)
        return run


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
    """Create a run; params are flattened to ``optimizer.learning_rate`` and so on."""
    more = {KEY: key, MLFLOW_RUN_NAME: name, **tags}
    if parent is not None:
        more[PARENT] = parent
    run = client.create_run(experiment, tags=more, run_name=name)
    log_params(client, run, params)
    return run


def log_params(client: MlflowClient, run: Run, params: dict[str, Any]) -> None:
    """Log the params that a run has not: who created it may have been killed then."""
    missing = {k: v for k, v in _flatten(params).items() if k not in run.data.params}
    if missing:
        listed = [Param(name, str(value)) for name, value in missing.items()]
        client.log_batch(run.info.run_id, params=listed)


def _flatten(params: dict[str, Any], lead: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{lead}{name}.")
        else:
            flat[f"{lead}{name}"] = value
    return flat


def find_or_create_pair(
    client: MlflowClient,
    experiment: str,
    *,
    record: TrainingRecord,
    tags: dict[str, str],
) -> tuple[Run, Run]:
    """The two runs of a training: the parent (its model) and the child (its fold).

    MLflow has no unique keys, so folds that start at the same time may each create a
    parent: all of them agree on one, and the others are deleted by their creators.

    Args:
        client: Client of the store.
        experiment: Id of the experiment.
        record: What the training is made from.
        tags: Further tags of a new child.
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
    else:
        log_params(client, parent, params)
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
    else:
        log_params(client, child, params)
    set_tags(client, child, {PARENT: parent.info.run_id})
    return parent, child


def has_running_fold(client: MlflowClient, parent: Run) -> bool:
    """Whether a fold of a model is under way, by the runs of both."""
    words = (
        f"tags.`{PARENT}` = '{parent.info.run_id}' AND attributes.status = 'RUNNING'"
    )
    return bool(client.search_runs([parent.info.experiment_id], words, max_results=1))


def _take_number(client: MlflowClient, experiment: str, key: str, mine: Run) -> None:
    """Queue behind all runs of a key that have a number.

    The start time is not enough: of two runs, the one that started first may become
    visible last, after the other process has looked for runs and continued.

    Source:
        The bakery algorithm, Lamport 1974, doi:10.1145/361082.361093.
    """
    others = _find_runs(client, experiment, key)
    last = max((int(run.data.tags.get(NUMBER, 0)) for run in others), default=0)
    client.set_tag(mine.info.run_id, NUMBER, str(last + 1))


def _agree(client: MlflowClient, experiment: str, key: str) -> Run | None:
    """The run of a key that all processes choose; waits for runs without a number.

    A run that has no number after some seconds belongs to a process that died, or to an
    older segpipe.
    """
    while True:
        runs = _find_runs(client, experiment, key)
        recent = (time.time() - PATIENCE_S) * 1000
        if all(NUMBER in r.data.tags or r.info.start_time < recent for r in runs):
            break
        time.sleep(0.05)
    return min(
        runs,
        key=lambda run: (int(run.data.tags.get(NUMBER, 0)), run.info.run_id),
        default=None,
    )


def set_tags(client: MlflowClient, run: Run, tags: dict[str, str]) -> None:
    """Set the tags that a run does not have, or has with another value."""
    for name, value in tags.items():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)


def log_rows(client: MlflowClient, run: Run, rows: list[dict[str, float]]) -> int:
    """Log the rows of a history whose epoch is not logged yet; returns how many.

    An epoch is logged in one request, with all of its figures or none.
    """
    run_id = run.info.run_id
    known = client.get_metric_history(run_id, "training_loss")
    last = max((metric.step for metric in known), default=-1)
    new = [row for row in rows if row["epoch"] > last]
    now = int(time.time() * 1000)
    batch: list[Metric] = []
    for row in new:
        figures = [
            Metric(metric_name(name), value, now, int(row["epoch"]))
            for name, value in row.items()
            if name != "epoch" and value == value  # not NaN
        ]
        if len(batch) + len(figures) > BATCH:
            client.log_batch(run_id, metrics=batch)
            batch = []
        batch += figures
    if batch:
        client.log_batch(run_id, metrics=batch)
    return len(new)


def finish(client: MlflowClient, run: Run) -> bool:
    """Mark a run as finished; returns whether it was not before."""
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
    """Add figures and files to a run, unless the same ones are attached already.

    Other files in the same folders of the run are deleted: an earlier call attached
    them, such as pictures of cases that the report no longer shows.

    Args:
        client: Client of the store.
        run: The run that they belong to.
        metrics: Name to value.
        files: Path inside the run's artifacts to the file; folders are created.
        description: Markdown, shown on the run's first page.
        digest: Digest of metrics and files; kept as a tag.

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
    _delete_others(client, run, files)
    client.set_tag(run_id, MLFLOW_RUN_NOTE, description)
    client.set_tag(run_id, ATTACHED, digest)
    return True


def _delete_others(client: MlflowClient, run: Run, files: Collection[str]) -> None:
    """Delete what lies in the folders of some files of a run beside these files.

    MlflowClient itself deletes no files. A store that refuses it is said, once a file.
    """
    uri = run.info.artifact_uri
    store = get_artifact_repository(uri, tracking_uri=client.tracking_uri)
    for folder in {str(Path(place).parent) for place in files}:
        for found in client.list_artifacts(run.info.run_id, folder):
            if found.path in files:
                continue
            try:
                store.delete_artifacts(found.path)
            except (MlflowException, OSError) as error:  # an HTTP error is an OSError
                log.warning(
                    "%s/%s: not deleted (%s), and it may show or name cases; delete it "
                    "where the store keeps its files",
                    uri,
                    found.path,
                    first_line(error),
                )


def metric_name(name: str) -> str:
    """The name without characters that MLflow refuses; ``/`` makes groups."""
    return re.sub(r"[^\w\-. /]", "_", name)


def find_stale_runs(
    client: MlflowClient,
    experiment: str,
    *,
    keep: set[str],
    saved: set[str],
    before: float,
) -> list[Run]:
    """Runs that ended before a time and whose key is not one of those to keep.

    Args:
        client: Client of the store.
        experiment: Id of the experiment.
        keep: Keys of the trainings in artifacts/.
        saved: Checkpoint folders of trainings that may still continue, each named by
            the beginning of its key; their runs and the parents of these are kept.
        before: Seconds since 1970.
    """

    def search(page_token: str | None) -> Any:
        return client.search_runs([experiment], max_results=1000, page_token=page_token)

    runs: list[Run] = all_pages(search)
    continuing = [
        run for run in runs if run.data.tags.get(KEY, "").startswith(tuple(saved))
    ]
    parents = {run.data.tags.get(PARENT) for run in continuing}
    needed = parents | {run.info.run_id for run in continuing}
    return [
        run
        for run in runs
        if run.data.tags.get(KEY, "") not in keep
        and KEY in run.data.tags
        and run.info.run_id not in needed
        and (run.info.end_time or run.info.start_time) < before * 1000
    ]
