"""Peer: a script of another library, in its own environment, that answers requests."""

import argparse
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HOME = Path(__file__).parents[1]
PEERS = HOME / "benchmarks" / "peers"
HOW = "python -m venv NEW && NEW/bin/pip install torch==2.13.0 nnunetv2 jaxtyping"


class Peer:
    """A script of benchmarks/peers that exchanges JSON, a line for each message."""

    def __init__(self, python: Path, script: str, kind: str, given: Any) -> None:
        """Start the script with another interpreter and wait until it is ready."""
        self._process = subprocess.Popen(
            [str(python), str(PEERS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(HOME)},
        )
        self._send([kind, given])
        self.start = self._receive()

    def __enter__(self) -> Self:
        """The peer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a request to the peer; returns its answer."""
        self._send(question)
        return self._receive()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the peer ended; its messages are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def parse_peer(name: str, describe: str) -> Path:
    """Read the interpreter of the peer's environment from the command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=describe.splitlines()[0],
        epilog=f"example: {HOW}; python -m benchmarks.{name} --peer NEW/bin/python",
    )
    parser.add_argument(
        "--peer", type=Path, required=True, help="python of nnU-Net's environment"
    )
    given = parser.parse_args()
    peer: Path = given.peer
    return peer
