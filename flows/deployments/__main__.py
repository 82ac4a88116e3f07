"""Bring work pools, deployments and automations of the Prefect server up to date.

``python -m flows.deployments`` talks to the server at PREFECT_API_URL. Schedules and
automations that a person switched on or off there stay as they are.
"""

import argparse
import logging
import subprocess
from pathlib import Path

from flows.deployments.deployments import install
from segpipe.project.progress import Lines, speaking


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.deployments", description=__doc__
    )
    parser.add_argument("--file", default="prefect.yaml", help="what to deploy")
    arguments = parser.parse_args()
    if not Path(arguments.file).is_file():
        raise SystemExit(
            f"error: expected {arguments.file}; run from the project's root"
        )
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[Lines()]
    )
    logging.getLogger("segpipe").setLevel(logging.INFO)
    logging.getLogger("segpipe").info("deployments: %s", arguments.file)
    try:
        with speaking("deployments"):
            install(Path().resolve(), arguments.file)
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None


if __name__ == "__main__":
    main()
