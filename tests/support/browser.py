"""A browser without a window, driven by the DevTools protocol."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.servers import end_tree, wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """A page of the browser.

    Attributes:
        login: What a person types where a server asks for user and password.
    """

    def __init__(self, socket: ClientConnection, login: str) -> None:
        self.socket = socket
        self.user, _, self.password = login.partition(":")
        self.number = 0
        self.statuses: list[tuple[str, int]] = []  # of all answers, with their address
        for domain in ("Page", "Network"):
            self.send(f"{domain}.enable")
        self.send("Fetch.enable", handleAuthRequests=True)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = self._post(method, params)
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._react(message.get("method", ""), message.get("params", {}))

    def _post(self, method: str, params: dict[str, Any]) -> int:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        self.socket.send(json.dumps(message))
        return self.number

    def _react(self, event: str, params: dict[str, Any]) -> None:
        if event == "Fetch.requestPaused":
            request = {"requestId": params["requestId"]}
            self._post("Fetch.continueRequest", request)
        elif event == "Fetch.authRequired":
            answer = {"response": "ProvideCredentials"}
            answer |= {"username": self.user, "password": self.password}
            request = {
                "requestId": params["requestId"],
                "authChallengeResponse": answer,
            }
            self._post("Fetch.continueWithAuth", request)
        elif event == "Network.responseReceived":
            answer = params["response"]
            self.statuses.append((answer["url"], answer["status"]))

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a script, waited for if it is a promise."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        """What a person reads on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, words: str, seconds: float = 60) -> None:
        """Wait until the page shows some words."""
        try:
            wait_until(lambda: words in self.text(), seconds, what=words)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the page shows:\n{self.text()}") from None

    def status(self, path: str) -> int:
        """The highest status of answers to requests with this path, once one came."""

        def worst() -> int:
            self.text()  # lets the page go on
            return max((code for url, code in self.statuses if path in url), default=0)

        try:
            return wait_until(worst, 60, what=path)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; answers:\n{self.statuses}") from None


@contextmanager
def browser(folder: Path, login: str = "") -> Iterator[Page]:
    """A page of a fresh browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(PROGRAMS)}")
    words = ["--headless=new", "--remote-debugging-port=0", "--disable-gpu"]
    words += ["--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        words.append("--no-sandbox")
    with (folder.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, "about:blank"],
            stdout=log,
            stderr=log,
            env={**os.environ, "no_proxy": "*"},
        )
    try:
        file = folder / "DevToolsActivePort"
        wait_until(lambda: file.is_file() and file.read_text(), 60, what="browser")
        port = file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as got:
            target = next(each for each in json.load(got) if each["type"] == "page")
        address = target["webSocketDebuggerUrl"]
        with connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket, login)
    finally:
        end_tree(process)
