"""Who has a port, and whether he answers."""

import os
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from flows.services.processes.ports import answers, is_online, owner
from tests.support.servers import free_port


def test_a_taken_port_has_an_owner_and_a_free_one_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert f"process {os.getpid()}" in (owner(port) or "")
    assert owner(port) is None


def test_where_nobody_listens_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    assert not answers(url)
    assert not is_online(url, "cpu", "cpu", 0.0, "user:word")


def test_a_login_is_sent_and_an_answer_without_it_is_none() -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == "Basic dXNlcjp3b3Jk"
            self.send_response(200 if known else 401)
            self.end_headers()

        def log_message(self, *words: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"

        assert answers(url, "user:word")
        assert not answers(url, "user:another")
        assert not answers(url)
        server.shutdown()
