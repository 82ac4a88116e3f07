"""ports: which program listens on a port of this machine, and whether it is ready."""

import base64
import json
import socket
import urllib.error
import urllib.request
from datetime import datetime

import psutil

PATIENCE_S = 5.0  # for an answer


def owner(port: int) -> str | None:
    """Description of the program that uses a port; None if the port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            found = listener(port)
            return (
                f"{found.name()} (process {found.pid})" if found else "another program"
            )
    return None


def listener(port: int) -> psutil.Process | None:
    """The process that listens on a port, where the system shows it."""
    try:
        pids = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        pid = next(filter(None, pids), None)
        return psutil.Process(pid) if pid else None
    except psutil.Error:
        return None


def answers(url: str) -> bool:
    """Whether a server answers a request without an error."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S):  # noqa: S310
            return True
    except OSError:
        return False


def is_online(api: str, pool: str, worker: str, since_s: float, password: str) -> bool:
    """Whether a worker has reported to the Prefect server since it was started.

    Args:
        api: PREFECT_API_URL.
        pool: Name of the worker's pool.
        worker: Name of the worker.
        since_s: When it was started, in seconds since 1970; an earlier worker may have
            had the same name.
        password: PREFECT_API_AUTH_STRING, or "".
    """
    request = urllib.request.Request(  # noqa: S310
        f"{api}/work_pools/{pool}/workers/filter",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    if password:
        token = base64.b64encode(password.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            workers = json.load(answer)
    except (OSError, ValueError):
        return False
    return any(
        each["name"] == worker
        and datetime.fromisoformat(each["last_heartbeat_time"]).timestamp() > since_s
        for each in workers
    )
