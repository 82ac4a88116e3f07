"""reproduce: bring every stage up to date, one task run a stage.

``python -m flows.reproduce`` runs ``dvc repro`` stage by stage. With PREFECT_API_URL
set (`prefect server start` says it) the flow shows in the Prefect UI while it runs;
without, Prefect starts a server of its own for as long as the flow lasts.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.commands import CommandError, output, stream


@flow(name="reproduce", log_prints=False)
def reproduce(root: str = ".", force: bool = False) -> None:
    """Run every stage that is not up to date, record the runs, show the results.

    Args:
        root: The project's folder.
        force: Whether to run stages that are up to date, too.

    Raises:
        CommandError: If a stage fails; those after it do not run.
    """
    for name in list_stages(root):
        run_stage.with_options(task_run_name=name)(root, name, force)
    record_runs(root)


def list_stages(root: str) -> list[str]:
    """The data first, then the stages in the order of dvc.yaml, which is that of runs.

    A stage by itself would read changed data without DVC taking them into its cache.
    """
    data = sorted(path.name for path in Path(root).glob("*.dvc") if path.is_file())
    return [*data, *output(root, ["dvc", "stage", "list", "--name-only"]).split()]


@task(cache_policy=NO_CACHE)
def run_stage(root: str, name: str, force: bool) -> None:
    """Bring one stage up to date; its output goes into the run's log, line by line."""
    words = ["repro", "--single-item", *(["--force"] if force else []), name]
    stream(root, ["dvc", *words])


@task(name="record", task_run_name="record", cache_policy=NO_CACHE)
def record_runs(root: str) -> None:
    """MLflow runs of what lies in artifacts/, and the table as a Prefect artifact."""
    stream(root, ["segpipe", "record"])
    table = stream(root, ["segpipe", "results"])
    create_markdown_artifact("```\n" + "\n".join(table) + "\n```", key="results")


def main() -> None:
    """The command line of the flow."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.reproduce",
        description="Bring every stage up to date, one Prefect task run a stage.",
        epilog="example: PREFECT_API_URL=http://127.0.0.1:4200/api "
        "python -m flows.reproduce",
    )
    parser.add_argument(
        "--force", action="store_true", help="run stages that are up to date, too"
    )
    arguments = parser.parse_args()
    if not Path("dvc.yaml").is_file():
        raise SystemExit("error: expected dvc.yaml; run from the project's root")
    try:
        reproduce(root=str(Path().resolve()), force=arguments.force)
    except CommandError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
