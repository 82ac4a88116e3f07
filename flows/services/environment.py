"""environment: the variables of the services, and those that flows never get."""

import os
import sys
from pathlib import Path

from flows.services.daemons import MARK

SECRETS = (  # of the servers; flows do not need them
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_API_AUTH_STRING",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
)


def build_environment(
    root: Path, folder: Path, *, api: str, mlflow: str
) -> dict[str, str]:
    """The variables of all services: the user's, overridden by ours.

    Args:
        root: The project's folder; the code in it is what runs.
        folder: Folder of the services' data.
        api: PREFECT_API_URL.
        mlflow: MLFLOW_TRACKING_URI.
    """
    bin_folder = str(Path(sys.executable).parent)
    ours = {
        MARK: str(folder),
        "PATH": _before("PATH", bin_folder),
        "PYTHONPATH": _before("PYTHONPATH", str(root)),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_TRACKING_URI": mlflow,
        # Its seven processes judge language models and take 1.7 GB; nothing uses them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    clients = {"PREFECT_API_AUTH_STRING": password} if password else {}
    # Defaults that a user may override. A training whose worker was lost continues in
    # another worker's clone, so their checkpoints share one folder.
    usual = {
        "SEGPIPE_CHECKPOINTS": str(root / ".checkpoints"),
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "segpipe",
    }
    return {**usual, **clients, **os.environ, **ours}


def _before(variable: str, first: str) -> str:
    return os.pathsep.join(filter(None, [first, os.environ.get(variable)]))


def without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """The variables that workers, and so all flows, get."""
    return {name: text for name, text in environment.items() if name not in SECRETS}
