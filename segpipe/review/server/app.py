"""App: the server of the review, from its parts."""

import logging
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from segpipe.approval.chain.watched import Watched
from segpipe.project.errors import DataError
from segpipe.review.accounts.database import Database
from segpipe.review.server import cases, lead, login, queue
from segpipe.review.server.access import NotLoggedInError, Office
from segpipe.review.server.guard.door import Door, build_hosts
from segpipe.review.server.guard.limits import Limits, Rate
from segpipe.review.server.pages import FILES, answer_file, render
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
    for part in (login, queue, cases, lead):
        app.include_router(part.router)
    app.add_api_route("/static/{digest}/{name}", _static, response_model=None)
    app.add_exception_handler(NotLoggedInError, _to_login)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(MultiPartException, _refuse)
    app.add_exception_handler(DataError, _fail)
    return Limits(Door(app, hosts=build_hosts(port), authorization=None))


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
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


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


def _fail(request: Request, error: Exception) -> Response:
    log.error("review: %s", error)  # to who serves, not to who asks
    reason = "The files of this review are damaged: tell its lead."
    return render(request, "refused.html", None, status=500, reason=reason)
