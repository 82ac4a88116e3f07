"""door: serve Prefect or MLflow to their own pages, workers and people, to no other.

``python -m flows.services.door prefect --port 4200`` and ``… mlflow --port 5000
--artifacts FOLDER`` start a server on loopback. A request needs three things:

- the server's own name as Host: a page whose name was made to point to this machine
  (DNS rebinding) sends another;
- the server's own Origin, if it has one: every web page that writes, and every page
  that reads with a script, sends its own;
- the login, ``user:password`` in PREFECT_SERVER_API_AUTH_STRING, the same for both.
"""

import base64
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from segpipe.project.errors import DataError
from segpipe.project.origin.study import project_name
from segpipe.review.server.guard.door import Door, build_hosts, build_origins

LOGIN = "PREFECT_SERVER_API_AUTH_STRING"
BROKER = "PREFECT_SERVER_EVENTS_MESSAGING_BROKER"
BROKERS = {BROKER, "PREFECT_MESSAGING_BROKER"}  # Prefect takes either
ARTIFACT_ROOT = "mlflow-artifacts:/"  # clients send files to the server

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


def authorization(login: str) -> str:
    """The header Authorization of a login, ``user:password``."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def prepare_prefect(origins: Sequence[str]) -> None:
    """Tell a Prefect server of this environment what it reads when it is imported.

    It asks for CSRF tokens, allows few pages, and waits while its database is busy,
    unless the user named a broker, such as Redis.

    Args:
        origins: Origins of its own pages.
    """
    os.environ |= {
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(origins) or "none",
    }
    if not BROKERS & os.environ.keys():
        os.environ[BROKER] = "flows.services.databases.messages"


def read_login() -> str:
    """The login that the servers ask for.

    Raises:
        DataError: If there is none.
    """
    login = os.environ.get(LOGIN, "")
    user, _, password = login.partition(":")
    if not user or not password:
        raise DataError(f"{LOGIN}: expected user:password; no server starts without it")
    return login


@app.command()
def prefect(port: Annotated[int, typer.Option(min=1, max=65535)] = 4200) -> None:
    """Start Prefect, which asks for the login itself, also in its websockets."""
    hosts = _hosts(port)
    prepare_prefect(build_origins(hosts))
    server = import_module("prefect.server.api.server").create_app(final=True)
    _serve(Door(server, hosts=hosts, authorization=None), port)


@app.command()
def mlflow(
    artifacts: Annotated[Path, typer.Option(help="folder for the runs' files")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Start MLflow on the database MLFLOW_BACKEND_STORE_URI."""
    hosts = _hosts(port)
    store = os.environ["MLFLOW_BACKEND_STORE_URI"]
    registry = os.environ.get("MLFLOW_REGISTRY_STORE_URI") or store
    # What the command `mlflow server` hands to the server that it starts. Imported by
    # name, as flows know MLflow only as a program.
    names = import_module("mlflow.server.constants")
    os.environ |= {
        names.BACKEND_STORE_URI_ENV_VAR: store,
        names.REGISTRY_STORE_URI_ENV_VAR: registry,
        names.ARTIFACT_ROOT_ENV_VAR: ARTIFACT_ROOT,
        names.ARTIFACTS_DESTINATION_ENV_VAR: str(artifacts),
        names.SERVE_ARTIFACTS_ENV_VAR: "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(build_origins(hosts)),
    }
    handlers = import_module("mlflow.server.handlers")
    handlers.initialize_backend_stores(store, registry, ARTIFACT_ROOT)
    _open_experiment(store)
    server = import_module("mlflow.server.fastapi_app").app
    _serve(
        Door(server, hosts=hosts, authorization=authorization(os.environ[LOGIN])), port
    )


def _open_experiment(store: str) -> None:
    """Create the experiment, so that its page has an address before the first run."""
    from segpipe.registry.store import open_experiment  # it imports MLflow: seconds

    try:
        open_experiment(store, project_name(Path()), behind_server=True)
    except DataError as error:  # it was deleted: the page can restore it
        typer.echo(f"warning: {error}", err=True)


def _hosts(port: int) -> list[str]:
    try:
        read_login()
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
    return build_hosts(port)


def _serve(door: Door, port: int) -> None:
    uvicorn.run(door, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    app()
