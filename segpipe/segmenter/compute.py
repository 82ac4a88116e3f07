"""Where and how numbers are computed: device, precision, threads."""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from pydantic import Field

from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.segmenter.settings import Device, Precision

log = logging.getLogger(__name__)


class ComputeParams(Params):
    """Section compute of params.yaml: it changes the bytes of a result.

    Attributes:
        device: ``auto`` takes the first GPU if there is one.
        precision: ``auto`` takes bf16 where the device has it in hardware.
        threads: CPU threads inside one operation.
        workers: Threads that cut patches ahead of a training step; 0 cuts them in the
            step. It changes no result.
        compile: Let torch.compile write code for the network that is trained; it needs
            a C++ compiler, and pays off in long trainings only.
    """

    device: Device
    precision: Precision
    threads: int
    workers: int = Field(ge=0)
    compile: bool


@dataclass(frozen=True)
class Compute:
    """What the section was resolved to, by the device's capability alone.

    Attributes:
        device: Where tensors live.
        precision: Of convolutions; weights, losses and sums stay float32.
        threads: CPU threads inside one operation.
        compile: Whether the network that is trained is compiled.
        workers: Threads that cut patches ahead.
    """

    device: torch.device
    precision: Literal["fp32", "bf16"]
    threads: int
    compile: bool = False
    workers: int = 0

    def __str__(self) -> str:
        """For people: ``cpu, bf16, 2 threads`` or ``cuda (NAME), bf16``."""
        compiled = ", compiled" if self.compile else ""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
            return f"cuda ({name}), {self.precision}{compiled}"
        return f"cpu, {self.precision}, {self.threads} threads{compiled}"

    def autocast(self) -> torch.autocast:
        """The context in which convolutions run in the precision."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16"
        )

    def to_json(self) -> dict[str, str | int | bool]:
        """For fingerprints: the type of the device, not which one of its kind."""
        return {
            "device": self.device.type,
            "precision": self.precision,
            "threads": self.threads,
            "compile": self.compile,
        }


@contextmanager
def memory_demanded(mend: str) -> Iterator[None]:
    """Say of a true lack of memory, and of nothing else, how to need less.

    Raises:
        DataError: If torch found no memory on the device.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DataError(f"the GPU's memory is too small: {mend}") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise DataError(f"the machine's memory is too small: {mend}") from error


def _has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def build_compute(params: ComputeParams) -> Compute:
    """Resolve ``auto``, set threads and determinism of this process.

    Raises:
        DataError: If a GPU is asked for and there is none: never silently the CPU.
    """
    if params.device == "cuda" and not torch.cuda.is_available():
        raise DataError(
            "params.yaml, compute.device: expected a CUDA device, found none; "
            "set it to auto or cpu, or look at `nvidia-smi`"
        )
    name = params.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    precision = params.precision
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    torch.set_num_threads(params.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=device.type == "cuda")
    # Nothing here reads memory before it is written: no need to fill it first.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return Compute(device, precision, params.threads, params.compile, params.workers)


T = TypeVar("T")


class Stopwatch:
    """Seconds by phase; while an inner phase runs, the outer one stands still."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._phases: list[str] = []
        self._since = clock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What runs inside belongs to the phase."""
        self._turn()
        self._phases.append(name)
        try:
            yield
        finally:
            self._turn()
            self._phases.pop()

    def of(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items; what it takes to make each belongs to the phase."""
        iterator = iter(items)
        while True:
            with self.phase(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def _turn(self) -> None:
        now = self._clock()
        if self._phases:
            self.seconds[self._phases[-1]] += now - self._since
        self._since = now
