"""The same work on many cases over a Dask cluster, which SEGPIPE_DASK names."""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import fingerprint
from segpipe.project.progress import Work

ADDRESS = "SEGPIPE_DASK"  # of a scheduler: tls://HOST:8786, or tcp:// on one machine
CONNECT_S, WORKERS_S = 15, 60  # seconds to wait for the scheduler, and for a worker
Part = list[tuple[Any, str]]  # items and the names of their cases


@dataclass(frozen=True)
class _Order:
    """What the workers of a cluster do; each receives it once.

    Attributes:
        function: Returns the results of a part.
        folder: The project's folder, in which relative paths begin.
    """

    function: Callable[[Part], list[Any]]
    folder: Path


def map_over_cluster(
    address: str,
    function: Callable[[Part], list[Any]],
    parts: list[Part],
    progress: Work,
    *,
    module: str,
) -> list[Any]:
    """Call a function on each part, on the workers of a Dask cluster.

    The workers see the project's folder under the same path, run the same segpipe and
    the same numerical packages, and have one thread each. Dask gives the cases of a
    lost worker to another one, at most ``distributed.scheduler.allowed-failures``
    times. Whoever reaches a scheduler can run programs on its workers: it belongs
    behind TLS or on the loopback interface.

    Args:
        address: Address of the scheduler.
        function: Returns the results of a part; picklable.
        parts: Cases that are sent together.
        progress: Is advanced by each finished case.
        module: The module whose code makes the results.

    Returns:
        The results of all cases, in their order.

    Raises:
        DataError: If the cluster cannot be reached or lost its workers; if a worker has
            another segpipe, several threads, or no such folder.
    """
    distributed = _import_distributed(address)
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        client.wait_for_workers(1, timeout=WORKERS_S)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{ADDRESS}={address}: expected the scheduler of a Dask cluster with a "
            f"worker, found {error or 'none'}; start `dask scheduler` and `dask worker "
            f"{address} --nthreads 1`, or unset {ADDRESS}"
        ) from error
    with client:
        content = pickle.dumps(_Order(function, Path.cwd()))
        order = client.submit(_take, content, module, fingerprint(module), pure=False)
        futures = client.map(_work, [order] * len(parts), parts, pure=False)
        places = {future.key: place for place, future in enumerate(futures)}
        found: dict[int, list[Any]] = {}
        try:
            done = distributed.as_completed(
                futures, loop=client.loop, with_results=True
            )
            for future, results in done:
                found[places[future.key]] = results
                progress.advance(len(results))
        except distributed.KilledWorker as error:
            names = [name for _, name in parts[places.get(error.task, 0)]]
            raise DataError(
                f"{ADDRESS}={address}: workers were lost again and again with one of "
                f"{', '.join(names[:8])}; most likely memory ran out: give each worker "
                "more"
            ) from error
        except ImportError as error:
            raise DataError(
                f"{ADDRESS}={address}: expected segpipe on each worker, found {error}; "
                "install the same version there"
            ) from error
        finally:
            client.cancel([*futures, order])
    return [result for place in range(len(parts)) for result in found[place]]


def _import_distributed(address: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise DataError(
            f"{ADDRESS}={address}: expected the package distributed, which `pip "
            "install 'segpipe[dask]'` installs"
        ) from error
    return distributed


def _take(content: bytes, module: str, code: str) -> _Order:
    """Unpack the order on a worker, which has the same code and packages."""
    if fingerprint(module) != code:
        raise DataError(
            f"{ADDRESS}: expected the same segpipe and numerical packages on each "
            "worker, found others; install what requirements.lock pins, and start the "
            "workers anew"
        )
    order = pickle.loads(content)  # noqa: S301 - whoever sends it can run code anyway
    assert isinstance(order, _Order)
    return order


def _work(order: _Order, part: Part) -> list[Any]:
    """Work on a part in the project's folder, on a worker."""
    from distributed import get_worker

    threads = get_worker().state.nthreads
    if threads != 1:
        raise DataError(
            f"{ADDRESS}: expected workers with one thread each, found {threads}; start "
            "them with --nthreads 1, as many as the machine has cores"
        )
    try:
        os.chdir(order.folder)
    except OSError as error:
        raise DataError(
            f"{ADDRESS}: expected the folder {order.folder} on each worker, found "
            f"{error}; mount it there under the same path"
        ) from error
    return order.function(part)
