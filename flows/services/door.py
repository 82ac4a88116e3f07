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
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from segpipe.project.errors import DataError
from segpipe.project.origin.study import project_name

LOGIN = "PREFECT_SERVER_API_AUTH_STRING"
HOSTS = "SEGPIPE_HOSTS"  # further names of the servers, such as that of a proxy
POLICY_VIOLATION = 1008  # why a websocket is closed, RFC 6455
SCHEMES = ("http", "https")
ARTIFACT_ROOT = "mlflow-artifacts:/"  # clients send files to the server

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


@dataclass(frozen=True)
class Refusal:
    """Answer to a request that is not let in: HTTP status and text."""

    status: int
    text: str


class Door:
    """A server that answers only requests with its own Host, Origin and login."""

    def __init__(
        self, server: ASGIApp, *, hosts: Sequence[str], login: str | None
    ) -> None:
        """Guard a server.

        Args:
            server: The server behind the door.
            hosts: Its names, as the Host header has them: ``name:port``.
            login: ``user:password``; None if the server asks for it itself.
        """
        self.server = server
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(build_origins(hosts))
        self.header = None if login is None else authorization(login)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it before the server sees it."""
        refusal = None
        if scope["type"] != "lifespan":
            refusal = self.judge(Headers(scope=scope))
        if refusal is None:
            await self.server(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            ask = {"WWW-Authenticate": 'Basic realm="segpipe", charset="UTF-8"'}
            headers = ask if refusal.status == 401 else None
            answer = PlainTextResponse(refusal.text, refusal.status, headers)
            await answer(scope, receive, send)

    def judge(self, headers: Headers) -> Refusal | None:
        """Why a request is refused; None if it is not."""
        names = [name.lower() for name in headers.getlist("host")]
        if len(names) != 1 or names[0] not in self.hosts:
            return Refusal(
                403,
                f"Host: expected {' or '.join(sorted(self.hosts))}, found "
                f"{', '.join(names) or 'none'}; use that address, or give the server "
                f"this name with {HOSTS}",
            )
        origins = headers.getlist("origin")
        if not {origin.lower() for origin in origins} <= self.origins:
            return Refusal(403, "Origin: a page of another server may ask nothing here")
        if not origins and is_embedded(headers):
            return Refusal(403, "a page of another server may embed nothing from here")
        if self.header is not None and not hmac.compare_digest(
            headers.get("authorization", "").encode(), self.header.encode()
        ):
            return Refusal(
                401,
                "expected user and password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD",
            )
        return None


def is_embedded(headers: Headers) -> bool:
    """Whether a page of another server loads this, as a picture, frame or script.

    Such requests have no Origin. Following a link to the server is allowed.

    Source:
        Fetch Metadata Request Headers, https://www.w3.org/TR/fetch-metadata.
    """
    foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return foreign and headers.get("sec-fetch-dest") != "document"


def authorization(login: str) -> str:
    """The header Authorization of a login, ``user:password``."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def build_hosts(port: int) -> list[str]:
    """Names by which a server is called: on this machine, and in SEGPIPE_HOSTS."""
    others = [name.strip() for name in os.environ.get(HOSTS, "").split(",")]
    return [f"127.0.0.1:{port}", f"localhost:{port}", *filter(None, others)]


def build_origins(hosts: Sequence[str]) -> list[str]:
    """Origins of the pages of a server with these names."""
    return [f"{scheme}://{host.lower()}" for host in hosts for scheme in SCHEMES]


def close_prefect(origins: Sequence[str]) -> None:
    """Let a Prefect server of this environment ask for CSRF tokens and allow few pages.

    Args:
        origins: Origins of its own pages.
    """
    os.environ |= {
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(origins) or "none",
    }


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
    close_prefect(build_origins(hosts))  # Prefect reads it when it is imported
    server = import_module("prefect.server.api.server").create_app(final=True)
    _serve(Door(server, hosts=hosts, login=None), port)


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
    _serve(Door(server, hosts=hosts, login=os.environ[LOGIN]), port)


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
