"""workers: what each worker of this machine is started with."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPU_RUNS = 4  # at the same time; most of them wait for others


@dataclass(frozen=True)
class Worker:
    """A worker of a pool.

    Attributes:
        name: Its name in the UI, and of its log.
        pool: Where its work comes from.
        limit: How many runs it takes at a time.
        environment: Its own variables, over those of all services.
    """

    name: str
    pool: str
    limit: int
    environment: dict[str, str]

    @property
    def words(self) -> list[str]:
        """The command, after ``python -m``."""
        words = ["prefect", "worker", "start", "--type", "process", "--name", self.name]
        return [*words, "--pool", self.pool, "--limit", str(self.limit)]


def build_workers(folder: Path) -> list[Worker]:
    """One for the pool cpu; one a GPU for the pool gpu, or one where there is none.

    Args:
        folder: Where workers of the pool gpu have their workspaces.
    """
    workers = [Worker("cpu", "cpu", CPU_RUNS, {})]
    for number, gpu in enumerate(list_gpus() or [""]):
        name = f"gpu-{number}"
        environment = {"SEGPIPE_WORKSPACE": str(folder / "workspaces" / name)}
        if gpu:  # else the processor stands in
            # In the order of nvidia-smi, whose numbers people know.
            order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            environment |= {"CUDA_VISIBLE_DEVICES": gpu, **order}
        workers.append(Worker(name, "gpu", 1, environment))
    return workers


def list_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES should name, one a worker.

    Those that the user's own CUDA_VISIBLE_DEVICES names, if it is set; else those that
    nvidia-smi lists, or torch where there is no nvidia-smi. torch is asked in a process
    that ends: who looks at a GPU through CUDA holds memory on it.
    """
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    with contextlib.suppress(FileNotFoundError):
        listed = _ask(["nvidia-smi", "-L"]).splitlines()
        return [str(n) for n in range(sum(x.startswith("GPU ") for x in listed))]
    count = "import torch; print(torch.cuda.device_count())"
    return [str(n) for n in range(int(_ask([sys.executable, "-c", count]) or 0))]


def _ask(words: list[str]) -> str:
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
