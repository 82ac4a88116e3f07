"""Observer: reports a training to MLflow and to the watchdog."""

from collections.abc import Iterator
from contextlib import contextmanager

from segpipe.cli.project import HERE
from segpipe.cli.watchdog import patience_minutes, watch
from segpipe.registry.live import live_run
from segpipe.segmenter.compute import Compute
from segpipe.stages.train import Observer
from segpipe.training.record import TrainingRecord


@contextmanager
def observe(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
    """Log each epoch when it ends, and end the process if the training stalls.

    Args:
        record: What the training is made from.
        compute: Device, precision and threads.
    """
    name = f"{record.model}-{record.fold}"
    with (
        live_run(HERE, record=record, tags={"device": str(compute)}) as live,
        watch(patience_minutes(), name) as alive,
    ):
        yield Observer(log=live.log, alive=alive)
