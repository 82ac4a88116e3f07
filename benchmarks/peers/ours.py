"""Our preprocessing, in a process that answers requests as the peer's does."""

import shutil
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.answering import Answer, answer_all, peak_mb
from segpipe.project.paths import Paths
from segpipe.stages import preprocess


def build(_: str, given: dict[str, Any]) -> Answer:
    """Run the stage on a project for each request, each time from scratch."""
    torch.set_num_threads(given["threads"])
    paths = Paths(Path(given["project"]))
    params = preprocess.PreprocessParams(workers=1)

    def answer() -> dict[str, Any]:
        shutil.rmtree(paths.cache, ignore_errors=True)
        shutil.rmtree(paths.artifacts / "preprocess", ignore_errors=True)
        began = time.perf_counter()
        preprocess.run(params, paths=paths)
        return {"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}

    return answer


if __name__ == "__main__":
    answer_all(build)
