"""Start, stop and list the services: Prefect, MLflow, the review and workers.

``python -m flows.services start`` (`make serve`) starts what does not run yet, on
loopback, with its data in .services/; ``stop`` ends only these services.
"""

import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from flows.services.door import LOGIN
from flows.services.environment import PASSWORD, USER, find_login
from flows.services.pages import find_pages
from flows.services.review import describe_lack
from flows.services.services import FOLDER, read_services, start, stop
from segpipe.project.errors import DataError
from segpipe.project.progress import Lines, speaking

T = TypeVar("T")
app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@app.command("start")
def start_command() -> None:
    """Start what does not run yet, deploy prefect.yaml, print the addresses."""
    root = _project()
    password = root / FOLDER / PASSWORD
    known = password.is_file()
    with speaking("make serve", quiet_s=3):
        services = _say_errors(lambda: start(root))
        login = find_login(root / FOLDER)
        pages = _say_errors(
            lambda: find_pages(
                root, api=services.api, mlflow=services.mlflow, login=login
            )
        )
    status_command()
    width = max(map(len, pages))
    pages["Review"] = describe_lack(root) or services.review
    for name, address in pages.items():
        typer.echo(f"{name:{width}}  {address}")
    typer.echo(
        f"\nPrefect: {services.api.removesuffix('/api')}\nMLflow:  {services.mlflow}"
    )
    typer.echo(f"Logs:    {FOLDER}/logs")
    urls = f"PREFECT_API_URL={services.api} MLFLOW_TRACKING_URI={services.mlflow}"
    if os.environ.get(LOGIN):
        typer.echo(f"Login:   your {LOGIN}\n\nIn other shells, with your login:")
        typer.echo(f"  export {urls}")
        return
    shown = "" if known else f" {password.read_text()}, printed only now;"
    secret = f"$(cat {shlex.quote(str(password))})"
    typer.echo(
        f"Login:   user {USER}, password{shown} in {FOLDER}/{PASSWORD}\n"
        f"         (Prefect's page asks for {USER}:PASSWORD)\n\nIn other shells:\n"
        f"  export {urls}\n"
        f'  export PREFECT_API_AUTH_STRING="{USER}:{secret}"\n'
        f'  export MLFLOW_TRACKING_USERNAME={USER} MLFLOW_TRACKING_PASSWORD="{secret}"'
    )


@app.command("stop")
def stop_command() -> None:
    """End the services and everything that they started; nothing else."""
    root = _project()
    with speaking("make stop", quiet_s=3):
        ended = _say_errors(lambda: stop(root))
    typer.echo(f"stopped: {', '.join(ended) or 'nothing ran'}")


@app.command("status")
def status_command() -> None:
    """List the services that run."""
    for each in read_services(_project()).daemons:
        typer.echo(f"{each.name:8} runs, process {each.pid}")


def _project() -> Path:
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[Lines()]
    )
    for name in ("flows", "segpipe"):
        logging.getLogger(name).setLevel(os.environ.get("SEGPIPE_LOG", "INFO"))
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
