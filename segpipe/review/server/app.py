"""App: the server of the review, from its parts."""

import logging
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from segpipe.approval.chain.watched import Watched
from segpipe.project.errors import DataError
from segpipe.review.accounts.database import Database
from segpipe.review.server.access import NotLoggedInError, Office
from segpipe.review.server.guard.door import LOCAL, Door, build_hosts, has_proxy
from segpipe.review.server.guard.limits import Limits, Rate
from segpipe.review.server.pages import FILES, answer_file, render
from segpipe.review.server.routes import cases, corrections, lead, login, queue
from segpipe.review.shelf import Shelf

log = logging.getLogger(__name__)


def build_app(database: Database, folder: Path, *, records: Path, port: int) -> ASGIApp:
    """Build the server.

    Args:
        database: The accounts.
        folder: Where the dossiers are.
        records: The project whose chain says who people are, and gets their records.
        port: Where the server listens; it answers to no other name.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.office = Office(
        database, Shelf(folder), Watched(records), Rate(burst=10, per_minute=10.0)
    )
    for part in (login, queue, cases, corrections, lead):
        app.include_router(part.router)
    app.add_api_route("/static/{digest}/{name}", _static, response_model=None)
    app.add_exception_handler(NotLoggedInError, _to_login)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(MultiPartException, _refuse)
    app.add_exception_handler(DataError, _fail)
    for kind in (OSError, DBAPIError):
        app.add_exception_handler(kind, _fail_to_store)
    hosts = build_hosts(port)
    return Limits(Door(app, hosts=hosts, authorization=None, encrypted=True))


def serve(
    app: ASGIApp, *, port: int, certificate: Path | None, key: Path | None
) -> None:
    """Answer on loopback until the process ends.

    Args:
        app: The server.
        port: Where it listens.
        certificate: File with the certificate, for TLS without a proxy.
        key: File with the certificate's key.
    """
    settings = build_settings(port)
    uvicorn.run(app, **settings, ssl_certfile=certificate, ssl_keyfile=key)


def build_settings(port: int) -> dict[str, Any]:
    """How uvicorn runs the server.

    The headers X-Forwarded-Proto and X-Forwarded-For are believed only where
    SEGPIPE_HOSTS names a proxy, and only from this machine: otherwise, any program here
    could pass its tries to log in off as those of many addresses.
    """
    return {
        "host": LOCAL[0],
        "port": port,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": has_proxy(),
        "forwarded_allow_ips": LOCAL[0],
    }


def _static(request: Request, name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404, "there is no such file")
    return answer_file(request, name)


def _to_login(request: Request, _: Exception) -> Response:
    if request.method == "GET":
        return RedirectResponse("/login", 303)
    return PlainTextResponse("log in again: the session has ended", 401)


def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    reason = error.detail if isinstance(error, HTTPException) else "the form is damaged"
    return render(request, "refused.html", None, status=status, reason=reason)


def _fail_to_store(request: Request, error: Exception) -> Response:
    """Say that the disk or the database fails; the page of a case keeps its ratings."""
    log.error("review: %s", getattr(error, "orig", None) or error)
    reason = (
        "This server's disk or database does not take anything now. What you sent was "
        "not stored, and what is signed stays signed. Tell who runs it; then try again."
    )
    return render(request, "refused.html", None, status=503, reason=reason)


def _fail(request: Request, error: Exception) -> Response:
    log.error("review: %s", error)  # to who serves, not to who asks
    reason = "The files of this review are damaged: tell its lead."
    return render(request, "refused.html", None, status=500, reason=reason)
