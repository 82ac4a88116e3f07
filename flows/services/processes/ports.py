"""ports: which program listens on a port of this machine, and whether it is ready."""

import json
import socket
import urllib.request
from datetime import datetime

import psutil

from flows.services.door import authorization

PATIENCE_S = 5.0  # for an answer
CLIENT = "segpipe-services"  # by this name Prefect knows the CSRF token of this module


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


def answers(url: str, login: str = "") -> bool:
    """Whether a server answers a request without an error.

    Args:
        url: What is asked for.
        login: ``user:password``, or "" to ask without.
    """
    try:
        read(url, login)
    except OSError:
        return False
    return True


def is_online(api: str, pool: str, worker: str, since_s: float, login: str) -> bool:
    """Whether a worker has reported to the Prefect server since it was started.

    Args:
        api: PREFECT_API_URL.
        pool: Name of the worker's pool.
        worker: Name of the worker.
        since_s: When it was started, in seconds since 1970; an earlier worker may have
            had the same name.
        login: PREFECT_API_AUTH_STRING.
    """
    try:
        token = json.loads(read(f"{api}/csrf-token?client={CLIENT}", login))["token"]
        csrf = {"Prefect-Csrf-Client": CLIENT, "Prefect-Csrf-Token": token}
        url = f"{api}/work_pools/{pool}/workers/filter"
        workers = json.loads(read(url, login, body=b"{}", headers=csrf))
    except (OSError, ValueError):
        return False
    return any(
        each["name"] == worker
        and datetime.fromisoformat(each["last_heartbeat_time"]).timestamp() > since_s
        for each in workers
    )


def read(
    url: str,
    login: str,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """The answer of a server.

    Args:
        url: What is asked for.
        login: ``user:password``, or "" to ask without.
        body: What is posted; None to get.
        headers: Further headers.

    Raises:
        OSError: If the server does not answer, or answers with an error.
    """
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310
    request.add_header("Content-Type", "application/json")
    if login:
        request.add_header("Authorization", authorization(login))
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        return bytes(answer.read())
