"""environment: the variables that services run with, and those that flows never see."""

import os
import sys
from pathlib import Path

from flows.services.daemons import MARK

SECRETS = (  # of the servers; no flow needs them
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_API_AUTH_STRING",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
)


def build_environment(
    root: Path, folder: Path, *, api: str, mlflow: str
) -> dict[str, str]:
    """The variables of all services: the user's, with ours over them.

    Args:
        root: The project; its own code is what runs.
        folder: Where the services keep their data.
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
        # Its seven processes judge answers of language models: 1.7 GB for nothing here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    clients = {"PREFECT_API_AUTH_STRING": password} if password else {}
    # What a user may set otherwise. A training whose worker was lost goes on in
    # another's clone: their checkpoints lie in one place.
    usual = {
        "SEGPIPE_CHECKPOINTS": str(root / ".checkpoints"),
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "segpipe",
    }
    return {**usual, **clients, **os.environ, **ours}


def _before(variable: str, first: str) -> str:
    return os.pathsep.join(filter(None, [first, os.environ.get(variable)]))


def without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """What workers get, and with them every flow."""
    return {name: text for name, text in environment.items() if name not in SECRETS}
