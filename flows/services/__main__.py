"""Start, stop and list the services of this machine: Prefect, MLflow and workers.

``python -m flows.services start`` (`make serve`) starts what does not run yet, on
loopback, with its data in .services/; ``stop`` ends only these services.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from flows.services.services import FOLDER, read_services, start, stop
from segpipe.project.errors import DataError

T = TypeVar("T")
app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@app.command("start")
def start_command() -> None:
    """Start what does not run yet, deploy prefect.yaml, print the addresses."""
    root = _project()
    _say_errors(lambda: start(root))
    status_command()
    services = read_services(root)
    typer.echo(
        f"\nPrefect: {services.api.removesuffix('/api')}\nMLflow:  {services.mlflow}\n"
        f"Logs:    {FOLDER}/logs\n\nIn other shells:\n"
        f"  export PREFECT_API_URL={services.api} MLFLOW_TRACKING_URI={services.mlflow}"
    )


@app.command("stop")
def stop_command() -> None:
    """End the services and everything that they started; nothing else."""
    root = _project()
    ended = _say_errors(lambda: stop(root))
    typer.echo(f"stopped: {', '.join(ended) or 'nothing ran'}")


@app.command("status")
def status_command() -> None:
    """List the services that run."""
    for each in read_services(_project()).daemons:
        typer.echo(f"{each.name:8} runs, process {each.pid}")


def _project() -> Path:
    if not Path("prefect.yaml").is_file():
        raise SystemExit("error: expected prefect.yaml; run from the project's root")
    return Path().resolve()


def _say_errors(what: Callable[[], T]) -> T:
    try:
        return what()
    except DataError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    app()
