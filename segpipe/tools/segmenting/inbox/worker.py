"""A process that segments one case after another; ``python -m`` this, with a pipe.

It loads the segmenter once. It ends when the other end of the pipe is closed, even in
the middle of a case: an orphan would run for hours and hold its memory.
"""

import os
import select
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import TypeAdapter

from segpipe.project.errors import DataError
from segpipe.segmenter.segmenter import Segmenter
from segpipe.tools.segmenting.attempt import attempt_case
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import Work, build_work

IDLE_S = 120.0  # without a case the process ends, to free its memory
STUDY: TypeAdapter[Study] = TypeAdapter(Study)


def load_work(order: Order) -> Work:
    """Load the segmenter onto the device.

    Raises:
        DataError: If this machine lacks the folders or the device of the order.
    """
    folders = [Path(folder) for folder in order.folders]
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        raise DataError(
            f"{missing[0]}: expected the segmenter, found no such folder here; "
            "all machines of a cluster need it under the same path, on shared storage"
        )
    segmenter, output = Segmenter.ensemble(folders), Path(order.output)
    return build_work(segmenter, order.record, order.settings, output)


def serve(pipe: Connection) -> None:
    """Load the order in the first message, then answer each study with its outcome."""
    threading.Thread(target=_end_with_owner, args=(pipe.fileno(),), daemon=True).start()
    try:
        work = load_work(Order.model_validate_json(pipe.recv_bytes()))
    except (DataError, OSError) as error:
        pipe.send_bytes(" ".join(str(error).split()).encode())
        return
    pipe.send_bytes(b"")
    while pipe.poll(IDLE_S):
        study = STUDY.validate_json(pipe.recv_bytes())
        pipe.send_bytes(attempt_case(study, work).model_dump_json().encode())


def _end_with_owner(descriptor: int) -> None:
    """Wait, without reading, until the other end is closed."""
    watch = select.poll()
    watch.register(descriptor, 0)  # a hang-up is always reported
    watch.poll()
    os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
