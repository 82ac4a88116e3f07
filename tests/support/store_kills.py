"""Kill a command before each of its writes to MLflow, repeat it, and compare."""

import inspect
import os
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from sqlite3 import connect as connect_to
from typing import Any

import pytest
from mlflow import MlflowClient

from segpipe.project.paths import Paths
from segpipe.registry.runs import NUMBER, PARENT
from segpipe.registry.store import connect
from segpipe.registry.versions import list_versions

# A kill before a call that only reads is a kill before the next write.
READS = ("_", "get_", "search_", "list_", "load_", "download_", "parse_")
WRITES = [
    name
    for name, _ in inspect.getmembers(MlflowClient, inspect.isfunction)
    if not name.startswith(READS)
]
NOBODY = 2**30  # number of a process that no system gives


class Killed(BaseException):
    """Nothing catches it, and after it nothing is written, not even in a finally."""


def run_killed(act: Callable[[], object], steps: int) -> bool:
    """Run a command that is killed after some writes; returns whether it was."""
    left = steps

    def counted(whole: Callable[..., object]) -> Callable[..., object]:
        def write(*words: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return whole(*words, **named)

        return write

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: NOBODY)
        for name in WRITES:
            patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
        try:
            act()
        except Killed:
            return True
    return False


def kill_before_each_write(
    paths: Paths,
    act: Callable[[], object],
    *,
    name: str,
    meanwhile: Callable[[], object] = lambda: None,
) -> int:
    """Kill a command before its first write, its second and so on, and repeat it.

    Each time it begins with the same store, and must end with the store that it leaves
    when nobody kills it.

    Args:
        paths: The project, with its store in mlflow.db.
        act: The command.
        name: Name of the registered model that it works on.
        meanwhile: What to check after each kill.

    Returns:
        Number of kills.
    """
    begun = paths.root / "begun.db"
    _copy(paths.root / "mlflow.db", begun)
    act()
    expected = describe_store(paths, name)
    for steps in count():
        _copy(begun, paths.root / "mlflow.db")
        if not run_killed(act, steps):
            return steps
        meanwhile()
        act()

        assert describe_store(paths, name) == expected, f"killed after {steps} writes"
    raise AssertionError


def _copy(database: Path, goal: Path) -> None:
    """Copy a database in one transaction, into one that may be open."""
    with closing(connect_to(database)) as source, closing(connect_to(goal)) as target:
        source.backup(target)


def describe_store(paths: Paths, name: str) -> dict[str, Any]:
    """The registered model of a name, and all runs, without ids and times."""
    client, experiment = connect(paths)
    models = client.search_registered_models(f"name = '{name}'")
    runs = client.search_runs([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    return {
        "turns": [tag for model in models for tag in model.tags],
        "versions": [
            (version.aliases, _timeless(version.tags))
            for version in list_versions(name, paths)
        ],
        "runs": sorted(
            [
                (
                    run.info.run_name,
                    names.get(run.data.tags.get(PARENT)),
                    run.info.status,
                    run.data.params,
                    run.data.metrics,
                    _timeless(run.data.tags),
                    [
                        file.path
                        for top in client.list_artifacts(run.info.run_id)
                        for file in client.list_artifacts(run.info.run_id, top.path)
                    ],
                )
                for run in runs
            ],
            key=str,
        ),
    }


def _timeless(tags: dict[str, str]) -> dict[str, str]:
    """Tags without times, the id of the parent run, and the order of arrival."""
    ends = (".at", PARENT, NUMBER)
    return {tag: text for tag, text in tags.items() if not tag.endswith(ends)}
