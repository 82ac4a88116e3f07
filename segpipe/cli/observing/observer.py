"""Observer: reports a training to MLflow and to the watchdog."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from segpipe.cli.observing.watchdog import patience_minutes, watch
from segpipe.cli.project import HERE
from segpipe.registry.live import live_run
from segpipe.segmenter.compute import Compute
from segpipe.stages.train import Observer
from segpipe.training.record import TrainingRecord


@contextmanager
def observe(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
    """Log each epoch when it ends, and end the process if the training stalls.

    SIGTERM, which batch systems and `docker stop` send, ends the run in MLflow too.

    Args:
        record: What the training is made from.
        compute: Device, precision and threads.
    """
    name = f"{record.model}-{record.fold}"
    with (
        _terminable(),
        live_run(HERE, record=record, tags={"device": str(compute)}) as live,
        watch(patience_minutes(), name) as alive,
    ):
        yield Observer(log=live.log, alive=alive)


@contextmanager
def _terminable() -> Iterator[None]:
    """End in an exception on SIGTERM, which would end the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not stop the report
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
