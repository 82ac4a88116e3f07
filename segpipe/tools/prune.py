"""prune: list, and then delete, caches, checkpoints and runs that nothing needs."""

import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from segpipe.dataset.prepared import CaseIndex, index_file
from segpipe.project.paths import Paths
from segpipe.registry.runs import PARENT, find_stale_runs
from segpipe.registry.store import reachable, tracking_uri
from segpipe.registry.versions import list_versions
from segpipe.training.checkpoints import are_held
from segpipe.training.record import find_trainings, read_record

log = logging.getLogger(__name__)
DAY = 86_400.0


@dataclass(frozen=True)
class Prunable:
    """Something that can be deleted.

    Attributes:
        place: A folder, or the id of an MLflow run.
        why: Reason why it is not needed.
        size: Size in bytes; 0 for a run.
    """

    place: Path | str
    why: str
    size: int

    def __str__(self) -> str:
        what = self.place if isinstance(self.place, Path) else f"run {self.place}"
        return f"{self.size / 1e6:9.1f} MB  {what}  {self.why}"


def find_prunable(paths: Paths, *, days: float) -> list[Prunable]:
    """Find what artifacts/ does not need and what has not changed for some days.

    Args:
        paths: The project's folders.
        days: Cached cases, interrupted trainings and runs younger than this are kept.

    Raises:
        DataError: If the project's MLflow store cannot be opened.
    """
    before = time.time() - days * DAY
    return [
        *_cached(paths, before),
        *_interrupted(paths, before),
        *_runs(paths, before),
    ]


def prune(paths: Paths, items: list[Prunable]) -> None:
    """Delete the listed items; MLflow keeps deleted runs until `mlflow gc`.

    Steps: delete each folder, then each run. What a killed call leaves is listed again,
    a folder that it deleted in part as one that was changed at that time.

    A training that was continued since its checkpoints were listed keeps them.
    """
    runs = [item.place for item in items if isinstance(item.place, str)]
    for item in items:
        if isinstance(item.place, Path) and not _is_held(item.place):
            shutil.rmtree(item.place, ignore_errors=True)
    if runs:
        with reachable(paths) as (client, _):
            for run in runs:
                client.delete_run(run)


def _cached(paths: Paths, before: float) -> list[Prunable]:
    """Finished cases that no index lists; without an index, those not used lately.

    A folder in which a command works changes, or is used, somewhere below.
    """
    found = []
    for stage in _folders(paths.cache):
        index = index_file(paths.artifacts / stage.name)
        used, why = set[str](), "not used lately"
        if index.is_file():
            used = set(CaseIndex.read(index).cases.values())
            why = "not in the current artifacts"
        found += [
            Prunable(entry, why, _size(entry))
            for entry in _folders(stage)
            if entry.name not in used and _used_s(entry) < _limit_s(entry, before)
        ]
    return found


def _used_s(entry: Path) -> float:
    """When an entry of the cache, or a folder below it, was last used or changed."""
    walk = os.walk(entry)  # a folder that vanishes is left out
    return max((_stat(Path(folder))[0] for folder, _, _ in walk), default=0.0)


def _stat(path: Path) -> tuple[float, int]:
    """Time of the last change and size; 0 of what a command has just removed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0, 0
    return found.st_mtime, found.st_size


def _is_held(folder: Path) -> bool:
    """Whether a training runs whose checkpoints are there; not if it ended just now."""
    try:
        return are_held(folder)
    except FileNotFoundError:
        return False


def _limit_s(entry: Path, before: float) -> float:
    """The time before which an entry is old; a command may work in a hidden one."""
    return min(before, time.time() - DAY) if entry.name.startswith(".") else before


def _interrupted(paths: Paths, before: float) -> list[Prunable]:
    """Interrupted trainings that were not continued."""
    return [
        Prunable(entry, "an interrupted training", _size(entry))
        for entry in _folders(paths.checkpoints / "train")
        if _used_s(entry) < before and not _is_held(entry)
    ]


def _runs(paths: Paths, before: float) -> list[Prunable]:
    """Runs of trainings that are neither in artifacts/ nor may still continue.

    Runs of registered segmenters are kept. On a server all runs are kept, as they may
    belong to others.
    """
    uri = tracking_uri(paths)
    if not uri.startswith("sqlite"):
        log.info("prune: the runs on %s may belong to others and are kept", uri)
        return []
    keep: set[str] = set()
    for training in find_trainings(paths.artifacts):
        record = read_record(training)
        keep |= {record.fingerprint, record.parent}
    with reachable(paths) as (client, experiment):
        stale = find_stale_runs(
            client, experiment, keep=keep, saved=_saved(paths, before), before=before
        )
    registered = {one.run for one in list_versions(None, paths)}
    return [
        Prunable(run.info.run_id, f"{run.info.run_name}, not in artifacts/", 0)
        for run in stale
        if not registered & {run.info.run_id, run.data.tags.get(PARENT, "")}
    ]


def _saved(paths: Paths, since: float) -> set[str]:
    """Names of the trainings that run, or have a checkpoint since then."""
    return {
        entry.name
        for entry in _folders(paths.checkpoints / "train")
        if _used_s(entry) >= since or _is_held(entry)
    }


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _size(folder: Path) -> int:
    return sum(
        _stat(Path(place, name))[1]
        for place, _, names in os.walk(folder)
        for name in names
    )
