"""Who has a port, and whether he answers."""

import os
import socket

from flows.services.ports import answers, is_online, owner
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
