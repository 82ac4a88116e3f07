"""workers: the workers of this machine, with pool, limit and environment."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPU_RUNS = 4  # at the same time; most of them wait for other runs


@dataclass(frozen=True)
class Worker:
    """A worker of a pool.

    Attributes:
        name: Name in the UI and of its log.
        pool: Work pool that it serves.
        limit: Number of runs at a time.
        environment: Its own variables, which override those of all services.
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
    """One worker for the pool cpu; for the pool gpu one a GPU, or else one without.

    The pool gpu is where networks train. A worker is named after what it trains on:
    gpu-0 and so on, or train-cpu on a machine without a GPU.

    Args:
        folder: Folder for the workspaces of the workers of the pool gpu.
    """
    workers = [Worker("cpu", "cpu", CPU_RUNS, {})]
    for number, gpu in enumerate(list_gpus() or [""]):
        name = f"gpu-{number}" if gpu else "train-cpu"
        environment = {"SEGPIPE_WORKSPACE": str(folder / "workspaces" / name)}
        if gpu:  # otherwise it trains on the CPU
            # Number the GPUs as nvidia-smi does.
            order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            environment |= {"CUDA_VISIBLE_DEVICES": gpu, **order}
        workers.append(Worker(name, "gpu", 1, environment))
    return workers


def list_gpus() -> list[str]:
    """Values of CUDA_VISIBLE_DEVICES, one for each worker.

    They are the GPUs in the user's own CUDA_VISIBLE_DEVICES if it is set, otherwise
    those that nvidia-smi lists, or torch without nvidia-smi. torch is asked in a
    process that ends, because a process that uses CUDA keeps memory on the GPU.
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
