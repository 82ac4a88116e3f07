"""door: which requests reach a server on this machine: its own, from its own pages.

A request needs the server's own name as Host: a page whose name was made to point to
this machine (DNS rebinding) sends another. If it has an Origin, it needs the server's
own: every web page that writes, and every page that reads with a script, sends its own.
"""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS = "SEGPIPE_HOSTS"  # further names of the servers, such as that of a proxy
POLICY_VIOLATION = 1008  # why a websocket is closed, RFC 6455
SCHEMES = ("http", "https")


@dataclass(frozen=True)
class Refusal:
    """Answer to a request that is not let in: HTTP status and text."""

    status: int
    text: str


class Door:
    """A server that answers only requests with its own Host, Origin and header."""

    def __init__(
        self, server: ASGIApp, *, hosts: Sequence[str], authorization: str | None
    ) -> None:
        """Guard a server.

        Args:
            server: The server behind the door.
            hosts: Its names, as the Host header has them: ``name:port``.
            authorization: Header Authorization that requests need; None if the server
                asks for a login itself.
        """
        self.server = server
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(build_origins(hosts))
        self.header = authorization

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


def build_hosts(port: int) -> list[str]:
    """Names by which a server is called: on this machine, and in SEGPIPE_HOSTS."""
    others = [name.strip() for name in os.environ.get(HOSTS, "").split(",")]
    return [f"127.0.0.1:{port}", f"localhost:{port}", *filter(None, others)]


def build_origins(hosts: Sequence[str]) -> list[str]:
    """Origins of the pages of a server with these names."""
    return [f"{scheme}://{host.lower()}" for host in hosts for scheme in SCHEMES]
