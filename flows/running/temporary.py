"""temporary: close the server that Prefect starts for a run without PREFECT_API_URL.

It listens on loopback. By Prefect's defaults it would do for every program and every
web page of this machine what they ask, such as run a program as this user.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import typer
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from flows.services.door import LOGIN, prepare_prefect
from flows.services.environment import USER
from segpipe.project.progress import speaking

STARTS_S = "120"  # Prefect's 20 s are too few for the first start on a busy machine


@contextmanager
def by_hand(flow: str) -> Iterator[None]:
    """Let a person run a flow: close its temporary server, and say what is waited for.

    Before and after the flow, whose own lines are in its log, its server starts and
    ends, which takes a while on a busy machine.

    Args:
        flow: Name of the flow, for the lines.
    """
    typer.echo(f"{flow}: starts", err=True)  # importing Prefect has taken seconds
    close_temporary_server()
    with speaking(flow, say=partial(typer.echo, err=True)):
        yield


def close_temporary_server() -> None:
    """Let only this process and its children reach a temporary server.

    Its password is new and stands only in their environment. A server that the
    environment or Prefect's profile names is not temporary and keeps its login. It has
    two minutes to start, unless the environment says otherwise.
    """
    if get_current_settings().api.url is not None:
        return
    login = f"{USER}:{secrets.token_urlsafe(24)}"
    os.environ |= {LOGIN: login, "PREFECT_API_AUTH_STRING": login}
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", STARTS_S)
    prepare_prefect(origins=())  # it serves no pages
    refresh_global_settings_context()
