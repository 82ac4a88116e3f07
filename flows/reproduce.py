"""reproduce: bring every stage up to date, with a task run for each stage.

``python -m flows.reproduce`` runs ``dvc repro`` stage by stage. With PREFECT_API_URL
set (`make serve` prints it), the run shows in the Prefect UI. Otherwise Prefect starts
a temporary server for the run.
"""

import argparse
import json
import os
from collections.abc import Container
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from flows.running.commands import CommandError, output, retried, stream
from flows.running.distribution import (
    TrainOn,
    choose_place,
    deployment_of,
    train_on_workers,
)
from flows.running.page import show_picture, tag_run
from flows.running.temporary import by_hand
from flows.running.workspace import occupied
from flows.train import LIMIT, TRAIN, say_device
from segpipe.evaluation.report.page import CASES, picture_file
from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import data_version, git_tags
from segpipe.project.origin.study import code_tags, read_study
from segpipe.project.paths import Paths
from segpipe.project.progress import speaking
from segpipe.tools.importing.writing.replacing import sole_import

DATA = "data.dvc"
SEEN = ".cache/data-seen.yaml"  # not *.dvc, which DVC would read
CODE = "code"  # the stage
MISSING, ALWAYS = "not in cache", "always changed"  # in the words of dvc status
SHOWN = 8  # characters of a commit or digest


@flow(name="reproduce", log_prints=False)
def reproduce(
    root: str = ".",
    force: bool = False,
    train_on: TrainOn = "auto",
    deployment: str | None = None,
    repository: str | None = None,
) -> bool:
    """Run every stage that is not up to date, record the runs, show the results.

    Args:
        root: The project's folder.
        force: Whether to run stages that are up to date, too, all in this workspace.
        train_on: Where networks train. "here": in this workspace, one after another;
            "workers": on the work pool, at the same time; "auto": on workers if there
            are workers and a DVC remote to share results.
        deployment: Deployment of the flow train; its work pool determines the workers.
            None: the one in the project's prefect.yaml.
        repository: Address that these workers fetch commits from; none if they can
            read the project's folder.

    Returns:
        Whether any stage ran.

    Raises:
        CommandError: If a stage fails; later stages do not run.
        DataError: If the folder is not a project, or workers cannot train its commit.
    """
    root = str(Path(root).resolve())
    if not (Path(root) / "dvc.yaml").is_file():
        raise DataError(f"{root}: expected a project with dvc.yaml, found none")
    deployment = deployment or deployment_of(root)
    with speaking("reproduce", say=get_run_logger().info), occupied(root):
        record_state(root)
        bring_data(root)
        remember_data(root)
        look_at_code(root)
        status = read_status(root)
        stale = list_stages(root, since=None if force else status)
        options = choose_options(root, status, force)
        trainings = [name for name in stale if name.startswith(TRAIN)]
        away = (
            bool(trainings) and not force and choose_place(root, train_on, deployment)
        )
        if trainings and not away:
            say_device(Path(root))
        for name in stale:
            if not (away and name in trainings):
                run_stage.with_options(task_run_name=name)(root, name, options)
                remember_data(root)
            elif name == trainings[0]:
                train_on_workers(root, trainings, deployment, repository)
        if not stale:
            get_run_logger().info("all stages are up to date")
        record_runs(root)
        show_results(root)
    return bool(stale)


def look_at_code(root: str) -> None:
    """Run the stage code of a study, which always runs, before others are judged."""
    if read_study(Path(root)) is not None:
        run_stage.with_options(task_run_name=CODE)(root, CODE, [])


def read_status(root: str) -> dict[str, Any]:
    """Changes that DVC finds, by stage; later stages that depend on them are absent.

    So is a stage that always runs, if nothing else about it has changed.
    """
    found: dict[str, Any] = json.loads(output(root, ["dvc", "status", "--json"]))
    return {name: changes for name, changes in found.items() if changes != [ALWAYS]}


def list_stages(root: str, *, since: Container[str] | None = None) -> list[str]:
    """List the data, then the stages in the order of dvc.yaml, in which they run.

    The data are in the list because a single stage would read changed data that DVC has
    not put into its cache.

    Args:
        root: The project's folder.
        since: Start at the first of these stages; None lists all.
    """
    data = sorted(path.name for path in Path(root).glob("*.dvc") if path.is_file())
    names = [*data, *output(root, ["dvc", "stage", "list", "--name-only"]).split()]
    if since is None:
        return names
    first = next((n for n, name in enumerate(names) if name in since), len(names))
    return names[first:]


def choose_options(root: str, status: dict[str, Any], force: bool) -> list[str]:
    """Options of ``dvc repro``: pull missing files if there is a remote."""
    if force:
        return ["--force"]
    lacks = MISSING in json.dumps(status)
    return ["--pull"] if lacks and has_remote(root) else []


def has_remote(root: str) -> bool:
    """Whether a DVC remote is set, for this clone or for all."""
    return bool(output(root, ["dvc", "config", "core.remote"], missing="").strip())


@task(task_run_name="state", cache_policy=NO_CACHE)
def record_state(root: str) -> None:
    """Log commit, data and code that the run starts with; tag it with the first two."""
    git, data = git_tags(Path(root)), data_version(Path(root))
    commit = git.get("git.commit")
    dirty = " with changes" * (git.get("git.dirty") == "true")
    get_run_logger().info(
        "%s at commit %s%s, data %s; segpipe %s, code %s",
        root,
        commit or "none",
        dirty,
        data or "unknown",
        *(text[:SHOWN] for text in code_tags().values()),
    )
    commits = [f"commit: {commit[:SHOWN]}{dirty}"] if commit else []
    tag_run(*commits, *([f"data: {data[:SHOWN]}"] if data else []))


def bring_data(root: str) -> None:
    """Check out data that are missing, or that a newer data.dvc from git describes.

    Data that were changed here stay, and data.dvc follows them, as with `dvc repro`.
    Data that a killed import set aside come back first: they may be in no data.dvc.

    Raises:
        CommandError: If both changed, or the remote cannot be reached.
        DataError: If data are missing because an import is at work.
    """
    single, seen = Path(root) / DATA, Path(root) / SEEN
    data = Path(root) / "data"
    if not data.exists():
        with sole_import(data):
            pass
    if not single.is_file():
        return
    now = single.read_text(encoding="utf-8")
    before = seen.read_text(encoding="utf-8") if seen.is_file() else now
    if not data.exists() or now != before:
        fetch_data(root)
        stream(root, ["dvc", "checkout", DATA])


def remember_data(root: str) -> None:
    """Keep a copy of the data.dvc that belongs to the data on disk."""
    single = Path(root) / DATA
    if single.is_file():
        write_text(Path(root) / SEEN, single.read_text(encoding="utf-8"))


@retried("fetch")
def fetch_data(root: str) -> None:
    """Fetch the data into DVC's cache, if a remote is set."""
    if has_remote(root):
        stream(root, ["dvc", "fetch", DATA])


@task(cache_policy=NO_CACHE)
def run_stage(root: str, name: str, options: list[str]) -> None:
    """Bring one stage up to date; the run's log shows its output."""
    words = ["repro", "--single-item", *options, name]
    if name.startswith(TRAIN):
        with concurrency(LIMIT, occupy=1):
            stream(root, ["dvc", *words])
    else:
        stream(root, ["dvc", *words])


@retried("record")
def record_runs(root: str) -> None:
    """Record the MLflow runs of artifacts/; its server may be away for a while."""
    stream(root, ["segpipe", "record"])


@task(task_run_name="results", cache_policy=NO_CACHE)
def show_results(root: str) -> None:
    """Show the table, a link to the runs and the report's picture as artifacts."""
    table = stream(root, ["segpipe", "results"])
    create_markdown_artifact(
        "```\n" + "\n".join(table) + "\n```",
        key="results",
        description="Figures of the test set, by model",
    )
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        create_link_artifact(uri, link_text="Runs in MLflow", key="runs")
    show_picture(
        picture_file(Paths(Path(root)).artifacts, CASES),
        key="report",
        description="Test cases, model by model; the report: artifacts/report",
    )


def main() -> None:
    """Run the flow from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.reproduce",
        description="Bring every stage up to date, with a Prefect task run for each.",
        epilog="example, in a shell with the export lines of `make serve`: "
        "python -m flows.reproduce --train-on workers",
    )
    parser.add_argument(
        "--force", action="store_true", help="run stages that are up to date, too"
    )
    parser.add_argument(
        "--train-on",
        choices=["auto", "here", "workers"],
        default="auto",
        help="where networks train; auto: on workers of the pool gpu if there are "
        "workers and a DVC remote",
    )
    arguments = parser.parse_args()
    if not Path("dvc.yaml").is_file():
        raise SystemExit("error: expected dvc.yaml; run from the project's root")
    try:
        with by_hand("reproduce"):
            reproduce(root=".", force=arguments.force, train_on=arguments.train_on)
    except (CommandError, DataError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
