"""A process that has imported what is heavy; its forks are segpipe and dvc at once.

Importing torch, MLflow and DVC takes most of the time of a small command. The folder
that ``warm_python`` makes holds the programs ``python`` and ``dvc``, to be put first on
the PATH. They hand ``-m segpipe`` and ``-m dvc`` to this process, with arguments,
folder, environment and open files; the fork imports segpipe itself anew, from where the
real python would. All other commands go to the real python, as those must whose test
looks at their process.
"""

import atexit
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

HEAVY = (
    "torch._dynamo",
    "torch._inductor.config",
    "scipy.ndimage",
    "scipy.stats",
    "matplotlib.pyplot",
    "nibabel",
    "SimpleITK",
    "jinja2",
    "typer",
    "pydantic",
    "ruamel.yaml",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "dvc.cli",
    "dvc.cli.parser",
    "dvc.repo",
    "dvc.stage.cache",
    "dvc_data.index",
)
STARTS_S = 120
CLIENT = """\
#!{python} -IS
import marshal, os, signal, socket, sys
words = [*{words!r}, *sys.argv[1:]]
if words[:1] != ["-m"] or words[1].split(".")[0] not in ("segpipe", "dvc"):
    os.execv({python!r}, [{python!r}, *words])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"0"], [0, 1, 2])
    request = marshal.dumps((words[1:], os.getcwd(), dict(os.environ)))
    server.sendall(len(request).to_bytes(4, "big") + request)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    said = server.recv(2)
if not said:
    sys.exit("the warm process is gone")
status, killed = said
if killed:
    if killed != signal.SIGKILL:
        signal.signal(killed, signal.SIG_DFL)
    os.kill(os.getpid(), killed)
os._exit(status)
"""


@contextmanager
def at_once(folder: Path) -> Iterator[None]:
    """Let what this process starts be started by the programs in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        places = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
        patch.setenv("PATH", os.pathsep.join(places))
        patch.setattr(sys, "executable", str(folder / "python"))
        yield


@contextmanager
def warm_python(python: str = sys.executable) -> Iterator[Path]:
    """The folder of the programs, while the process lives.

    Args:
        python: The real python, which may be that of another environment.
    """
    with tempfile.TemporaryDirectory(prefix="warm-") as name:
        folder, address = Path(name), f"{name}/socket"
        for program, words in (("python", []), ("dvc", ["-m", "dvc"])):
            client = folder / program
            client.write_text(
                CLIENT.format(python=python, words=words, address=address)
            )
            client.chmod(0o755)
        unwanted = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
        ours = {n: text for n, text in os.environ.items() if n not in unwanted}
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with subprocess.Popen(
            [python, "-P", __file__, address],
            env={**ours, **one},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            try:
                assert process.stdout is not None
                ready, _, _ = select.select([process.stdout], [], [], STARTS_S)
                assert ready, "the warm process does not start"
                assert process.stdout.readline() == b"warm\n"
                yield folder
            finally:
                process.kill()


def serve(address: str) -> None:
    """Fork for each client, until nobody holds the other end of stdin any more."""
    for name in HEAVY:
        importlib.import_module(name)
    threads = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    ours = [name for name in threads if not name.startswith("jemalloc")]
    assert len(ours) == 1, threads  # jemalloc looks after forks itself
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    os.write(1, b"warm\n")
    poll = select.poll()
    poll.register(0, select.POLLHUP)
    poll.register(listening, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}  # by both of its descriptors
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                return
            if descriptor == listening.fileno():
                client, _ = listening.accept()
                pid = _start(client, listening, running)
                if pid is None:
                    client.close()
                    continue
                ended = os.pidfd_open(pid)
                for one in (ended, client.fileno()):
                    running[one] = pid, client
                    poll.register(one, select.POLLIN)
            elif descriptor in running:
                pid, client = running[descriptor]
                if descriptor == client.fileno():
                    said = b""
                    with suppress(ConnectionError):
                        said = client.recv(1)
                    os.kill(pid, said[0] if said else signal.SIGKILL)
                    if said:
                        continue
                _, status = os.waitpid(pid, 0)
                code = os.waitstatus_to_exitcode(status)
                with suppress(ConnectionError):
                    client.send(bytes([max(code, 0), max(-code, 0)]))
                for one in [n for n, (other, _) in running.items() if other == pid]:
                    poll.unregister(one)
                    del running[one]
                    if one != client.fileno():
                        os.close(one)
                client.close()


def _start(
    client: socket.socket,
    listening: socket.socket,
    running: dict[int, tuple[int, socket.socket]],
) -> int | None:
    """Fork a process that runs a client's command; None if the client is gone."""
    try:
        _, files, _, _ = socket.recv_fds(client, 1, 3)
        with client.makefile("rb") as stream:
            size = int.from_bytes(stream.read(4), "big")
            words, folder, environment = marshal.loads(stream.read(size))
    except (ConnectionError, EOFError):
        return None
    process = os.fork()
    if process:
        for file in files:
            os.close(file)
        return process
    listening.close()
    for descriptor, (_, other) in running.items():
        os.close(descriptor) if descriptor != other.fileno() else other.close()
    for goal, file in enumerate(files):
        os.dup2(file, goal)
        os.close(file)
    client.close()
    os._exit(_run(words, folder, environment))


def _run(words: list[str], folder: str, environment: dict[str, str]) -> int:
    """Do what ``python -m`` does; the exit status."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    more = environment.get("PYTHONPATH", "")
    sys.path[:0] = [folder, *[place for place in more.split(os.pathsep) if place]]
    sys.argv = words
    files = [
        os.fdopen(number, mode, closefd=False)  # they outlive these objects
        for number, mode in enumerate(("rb", "wb", "wb"))
    ]
    sys.stdin = io.TextIOWrapper(files[0])
    sys.stdout = io.TextIOWrapper(
        files[1],
        line_buffering=os.isatty(1),
        write_through=bool(environment.get("PYTHONUNBUFFERED")),
    )
    sys.stderr = io.TextIOWrapper(
        files[2], errors="backslashreplace", line_buffering=True
    )
    status = 0
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is not None:
            status = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException as error:
        traceback.print_exc()
        status = 1
        if isinstance(error, KeyboardInterrupt):
            status = -signal.SIGINT
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    serve(sys.argv[1])
