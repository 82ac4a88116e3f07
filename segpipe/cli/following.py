"""Following: a training that a command started is streamed to MLflow and watched."""

from collections.abc import Iterator
from contextlib import contextmanager

from segpipe.cli.project import HERE
from segpipe.cli.watchdog import patience_minutes, watch
from segpipe.registry.live import live_run
from segpipe.segmenter.compute import Compute
from segpipe.stages.train import Observer
from segpipe.training.record import TrainingRecord


@contextmanager
def follow(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
    """Log each epoch as it ends, and stop the process where nothing happens any more.

    Args:
        record: What the training is made from.
        compute: Where it runs.
    """
    name = f"{record.model}-{record.fold}"
    with (
        live_run(HERE, record=record, tags={"device": str(compute)}) as live,
        watch(patience_minutes(), name) as alive,
    ):
        yield Observer(log=live.log, alive=alive)
