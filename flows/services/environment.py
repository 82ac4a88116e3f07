"""environment: the variables of the services, and those that flows never get."""

import os
import secrets
import sys
from pathlib import Path

from flows.services.door import LOGIN, read_login
from flows.services.processes.daemons import MARK
from flows.services.review import ADDRESS as REVIEW_ADDRESS
from segpipe.project.origin.study import code_path

USER = "segpipe"
PASSWORD = "password"  # noqa: S105 - the name of a file in the folder of the services
SECRETS = (  # of the servers; flows do not need them
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    LOGIN,
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
)


def find_login(folder: Path) -> str:
    """The login of both servers, ``user:password``.

    It is the user's own in PREFECT_SERVER_API_AUTH_STRING, or else consists of segpipe
    and the password in the folder, which is generated if there is none.

    Args:
        folder: Folder of the services' data.

    Raises:
        DataError: If the user's own is not ``user:password``.
    """
    if os.environ.get(LOGIN):
        return read_login()
    file = folder / PASSWORD
    if not file.is_file():
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as f:
            f.write(secrets.token_urlsafe(24))
        part.replace(file)
    return f"{USER}:{file.read_text().strip()}"


def build_environment(
    folder: Path, *, api: str, mlflow: str, review: str, login: str
) -> dict[str, str]:
    """The variables of all services: the user's, overridden by ours.

    The servers and workers may serve several projects. What belongs to one of them,
    such as its interpreter and its checkpoints, its deployments say.

    Args:
        folder: Folder of the services' data.
        api: PREFECT_API_URL.
        mlflow: MLFLOW_TRACKING_URI.
        review: Where the review is served on this machine.
        login: ``user:password`` of both servers.
    """
    user, _, password = login.partition(":")
    bin_folder = str(Path(sys.executable).parent)
    ours = {
        MARK: str(folder),
        "PATH": os.pathsep.join(filter(None, [bin_folder, os.environ.get("PATH")])),
        "PYTHONPATH": code_path(),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": api,
        LOGIN: login,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
        # Its seven processes judge language models and take 1.7 GB; nothing uses them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    usual = {  # defaults that a user may override
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "segpipe",
        REVIEW_ADDRESS: review,
    }
    return {**usual, **os.environ, **ours}


def without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """The variables that workers, and so all flows, get."""
    return {name: text for name, text in environment.items() if name not in SECRETS}
