"""environment: the variables of the services, and those that flows never get."""

import os
import secrets
import sys
from pathlib import Path

from flows.services.daemons import MARK
from flows.services.door import LOGIN, read_login

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
    root: Path, folder: Path, *, api: str, mlflow: str, login: str
) -> dict[str, str]:
    """The variables of all services: the user's, overridden by ours.

    Args:
        root: The project's folder; the code in it is what runs.
        folder: Folder of the services' data.
        api: PREFECT_API_URL.
        mlflow: MLFLOW_TRACKING_URI.
        login: ``user:password`` of both servers.
    """
    user, _, password = login.partition(":")
    bin_folder = str(Path(sys.executable).parent)
    ours = {
        MARK: str(folder),
        "PATH": _before("PATH", bin_folder),
        "PYTHONPATH": _before("PYTHONPATH", str(root)),
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
    # Defaults that a user may override. A training whose worker was lost continues in
    # another worker's clone, so their checkpoints share one folder.
    usual = {
        "SEGPIPE_CHECKPOINTS": str(root / ".checkpoints"),
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "segpipe",
    }
    return {**usual, **os.environ, **ours}


def _before(variable: str, first: str) -> str:
    return os.pathsep.join(filter(None, [first, os.environ.get(variable)]))


def without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """The variables that workers, and so all flows, get."""
    return {name: text for name, text in environment.items() if name not in SECRETS}
