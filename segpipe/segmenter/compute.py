"""Device, precision and threads of computations; their time and memory."""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Literal, TypeVar

import torch
from pydantic import Field

from segpipe.networks.engine import require_openvino
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.progress import work
from segpipe.segmenter.settings import Device, Engine, Precision, UsedEngine

log = logging.getLogger(__name__)


class ComputeParams(Params):
    """Section compute of params.yaml, which changes the bytes of a result.

    Attributes:
        device: ``auto`` is the first GPU if there is one, else the CPU.
        precision: ``auto`` is bf16 where the device has it in hardware, else fp32.
        threads: CPU threads inside one operation.
        workers: Threads that cut patches ahead of a training step; 0 cuts them in the
            step. They change no result.
        compile: Whether torch.compile compiles the network for training; it needs a C++
            compiler and pays off in long trainings only.
        engine: What computes a trained network's logits; ``auto`` is OpenVINO on a CPU
            and torch on a GPU. Params that do not name it have torch.
    """

    device: Device
    precision: Precision
    threads: int
    workers: int = Field(ge=0)
    compile: bool
    engine: Engine = Field("torch", exclude_if=lambda engine: engine == "torch")


@dataclass(frozen=True)
class Compute:
    """The section with ``auto`` resolved, which depends on the device only.

    Attributes:
        device: Device of the tensors.
        precision: Precision of convolutions; weights, losses and sums stay float32.
        threads: CPU threads inside one operation.
        compile: Whether the network is compiled for training.
        workers: Threads that cut patches ahead.
        engine: What computes a trained network's logits; trainings use torch.
    """

    device: torch.device
    precision: Literal["fp32", "bf16"]
    threads: int
    compile: bool = False
    workers: int = 0
    engine: UsedEngine = "torch"

    def __str__(self) -> str:
        """In words: ``cpu, bf16, 2 threads`` or ``cuda (NAME), bf16``."""
        compiled = ", compiled" if self.compile else ""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
            return f"cuda ({name}), {self.precision}{compiled}"
        engine = "" if self.engine == "torch" else f", {self.engine}"
        return f"cpu, {self.precision}, {self.threads} threads{compiled}{engine}"

    def autocast(self) -> torch.autocast:
        """Context in which convolutions run in this precision."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16"
        )

    def to_json(self) -> dict[str, str | int | bool]:
        """Values for fingerprints: the type of the device, but not its number."""
        known: dict[str, str | int | bool] = {
            "device": self.device.type,
            "precision": self.precision,
            "threads": self.threads,
            "compile": self.compile,
        }
        if self.engine == "torch":  # its version stands in every fingerprint
            return known
        return {**known, "engine": f"{self.engine} {version(self.engine)}"}

    def of_training(self) -> "Compute":
        """The same for training and its validations, which torch computes."""
        return replace(self, engine="torch")


@contextmanager
def memory_demanded(mend: str) -> Iterator[None]:
    """Turn errors of torch for lack of memory, and no others, into a DataError.

    Args:
        mend: How to need less memory.

    Raises:
        DataError: If the memory is too small.
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
    """Whether the device has bf16 arithmetic in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def build_compute(params: ComputeParams) -> Compute:
    """Resolve ``auto``, and set threads and determinism of this process.

    Raises:
        DataError: If a GPU is asked for and there is none; the CPU never replaces it.
            If OpenVINO is asked for and is not installed, or on a GPU.
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
    engine = _resolve_engine(params.engine, device)
    compute = Compute(
        device, precision, params.threads, params.compile, params.workers, engine
    )
    set_process(compute)
    return compute


def set_process(compute: Compute) -> None:
    """Set threads and determinism of this process, which may be a cluster's."""
    torch.set_num_threads(compute.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    warn_only = compute.device.type == "cuda"
    if compute.compile:  # tells torch's compiler, too, whose import takes a second
        torch.use_deterministic_algorithms(mode=True, warn_only=warn_only)
    else:
        torch.set_deterministic_debug_mode("warn" if warn_only else "error")
    # No code here reads memory before it writes it, so filling is not needed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # fp32 is float32, on a GPU, too


def _resolve_engine(engine: Engine, device: torch.device) -> UsedEngine:
    """OpenVINO or torch, by params and device alone."""
    if engine == "auto":
        engine = "openvino" if device.type == "cpu" else "torch"
    if engine == "openvino":
        if device.type != "cpu":
            raise DataError(
                "engine openvino: expected the device cpu, found a GPU, which only "
                "torch computes on; set the engine to auto or torch, or the device to "
                "cpu"
            )
        require_openvino()
    return engine


T = TypeVar("T")


class Stopwatch:
    """Seconds by phase; an outer phase stops while an inner one runs."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._phases: list[str] = []
        self._since = clock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block for a phase, and tell what is done."""
        self._turn()
        self._phases.append(name)
        try:
            with work(name):
                yield
        finally:
            self._turn()
            self._phases.pop()

    def of(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, and count the time of making each for a phase."""
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
