"""What a script of this folder does between its questions; standard library only."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = Callable[..., dict[str, Any]]


def peak_mb() -> float:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def answer_all(build: Callable[[str, Any], Answer]) -> None:
    """Build what the first line says, then answer each further line with one line."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    answer = build(*json.loads(sys.stdin.readline()))
    os.write(answers, json.dumps({"peak_mb": peak_mb()}).encode() + b"\n")
    for line in sys.stdin:
        found = json.dumps(answer(**json.loads(line)))
        os.write(answers, found.encode() + b"\n")
