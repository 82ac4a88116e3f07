"""Our own preprocessing, as a process beside the peer's: asked in the same way."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from segpipe.paths import Paths
from segpipe.stages import preprocess


def peak_mb() -> float:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run the stage on a project as often as asked, each time from the start."""
    answers = os.dup(1)
    os.dup2(2, 1)
    _, given = json.loads(sys.stdin.readline())
    torch.set_num_threads(given["threads"])
    paths, params = (
        Paths(Path(given["project"])),
        preprocess.PreprocessParams(workers=1),
    )
    os.write(answers, json.dumps({"peak_mb": peak_mb()}).encode() + b"\n")
    for _ in sys.stdin:
        shutil.rmtree(paths.cache, ignore_errors=True)
        shutil.rmtree(paths.artifacts / "preprocess", ignore_errors=True)
        began = time.perf_counter()
        preprocess.run(params, paths=paths)
        answer: dict[str, Any] = {
            "seconds": time.perf_counter() - began,
            "peak_mb": peak_mb(),
        }
        os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
