"""A Dask cluster on two hosts, which are network namespaces; work for clusters.

The work stands here, where its workers import little.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segpipe.project.errors import DataError
from tests.support.places import ROOT

PORT = 8786
SCHEDULER, OTHER = "10.213.77.1", "10.213.77.2"


def network_of(number: int) -> str:
    """The network namespace of this process."""
    time.sleep(0.05 + 0 * number)
    return os.readlink("/proc/self/ns/net")


def process_of(number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return number, os.getpid()


def die_once(marker: Path, number: int) -> int:
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse_three(number: int) -> int:
    if number == 3:
        raise DataError("scan.nii: expected a volume, found none")
    return number


def hosts_can_be_made() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"probe{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    if made.returncode == 0:
        ip(f"netns delete {name}")
    return made.returncode == 0


def ip(words: str) -> None:
    """Run the command ip."""
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces that a cable joins."""
    mark = secrets.token_hex(3)
    names = f"a{mark}", f"b{mark}"
    for name in names:
        ip(f"netns add {name}")
    try:
        ip(f"link add v{names[0]} type veth peer name v{names[1]}")
        for name, address in zip(names, (SCHEDULER, OTHER), strict=True):
            ip(f"link set v{name} netns {name}")
            ip(f"-n {name} address add {address}/24 dev v{name}")
            ip(f"-n {name} link set v{name} up")
            ip(f"-n {name} link set lo up")
        yield names
    finally:
        for name in names:
            ip(f"netns delete {name}")


def on_host(name: str, *words: str) -> list[str]:
    """The command that runs Python with these words on a host."""
    return ["ip", "netns", "exec", name, sys.executable, *words]


@contextmanager
def cluster_on(names: tuple[str, str]) -> Iterator[str]:
    """A scheduler on the first host, a worker on each; yields the address."""
    address = f"tcp://{SCHEDULER}:{PORT}"
    dask = "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"
    commands = [
        on_host(
            names[0],
            *("-m", "distributed.cli.dask_scheduler", "--host", SCHEDULER),
            "--no-dashboard",
        ),
        *(
            on_host(name, *dask, "--host", host, "--no-dashboard", "--no-nanny")
            for name, host in zip(names, (SCHEDULER, OTHER), strict=True)
        ),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield address
