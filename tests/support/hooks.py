"""A webhook on this machine that keeps what it is sent; its path says its answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {"/moved": 302, "/closed": 403}
SLOW_S = 3


@dataclass
class Hook:
    url: str
    got: list[tuple[str, str, bytes]] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Hook]:
    hook = Hook("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.got.append((self.path, self.headers["Content-Type"], body))
            if self.path == "/slow":
                time.sleep(SLOW_S)
            self.send_response(ANSWERS.get(self.path, 204))
            if self.path == "/moved":
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
