"""Limits: how large and how frequent requests may be, and what browsers may do."""

import time
from collections import OrderedDict
from threading import Lock

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 512 * 1024  # ratings of 100 structures with comments
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# NiiVue has its font as data: and compiles no text; it loads what the page gives it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Rate:
    """Lets each key act so many times at once, and so many times a minute later on."""

    def __init__(self, *, burst: int, per_minute: float, keys: int = 10_000) -> None:
        """Count acts.

        Args:
            burst: Acts that are allowed at once.
            per_minute: Acts that are allowed again with each minute.
            keys: How many keys are kept; the one that acted longest ago goes first.
        """
        self.burst, self.per_second, self.keys = burst, per_minute / 60, keys
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def allows(self, key: str, at: float | None = None) -> bool:
        """Count an act; whether it is allowed.

        Args:
            key: Who acts.
            at: When, in seconds; now by default.
        """
        at = time.monotonic() if at is None else at
        with self._lock:
            left, before = self._left.pop(key, (float(self.burst), at))
            left = min(self.burst, left + (at - before) * self.per_second)
            allowed = left >= 1
            self._left[key] = (left - 1 if allowed else left), at
            while len(self._left) > self.keys:
                self._left.popitem(last=False)
        return allowed


class Limits:
    """Refuses bodies that are too large, and requests that come too fast.

    A body is counted while it arrives, so one that states no length is refused, too,
    before more than the limit is in memory. Nothing is written to a disk.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Guard an app."""
        self.app = app
        self.rate = Rate(burst=600, per_minute=1200.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within the limits, with the headers that bind a browser."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send, tls=scope["scheme"] == "https")
        headers = Headers(scope=scope)
        refusal = None
        if not self.rate.allows((scope.get("client") or ("",))[0]):
            refusal = PlainTextResponse("too many requests: wait a minute", 429)
        elif not _is_small(headers):
            refusal = _too_large()
        elif scope["method"] in WRITES and "origin" not in headers:
            refusal = PlainTextResponse("Origin: expected, as browsers send it", 403)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            await _too_large()(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)


def _is_small(headers: Headers) -> bool:
    stated = headers.get("content-length", "0")
    return stated.isdecimal() and int(stated[:20]) <= BODY_BYTES


def _too_large() -> PlainTextResponse:
    text = f"the body of a request may have {BODY_BYTES} bytes at most"
    return PlainTextResponse(text, 413, {"Connection": "close"})


async def _read(receive: Receive) -> bytes | None:
    """The body of a request; None as soon as it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the browser went away
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send, *, tls: bool) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if tls:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        await send(message)

    return with_headers
