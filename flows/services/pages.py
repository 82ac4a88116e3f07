"""pages: the addresses of what a person looks at: report, runs and deployments."""

import json
from pathlib import Path

from flows.services.processes.ports import read
from segpipe.evaluation.report.page import page_file
from segpipe.project.errors import DataError
from segpipe.project.origin.study import project_name
from segpipe.project.paths import Paths

BY_NAME = "api/2.0/mlflow/experiments/get-by-name?experiment_name"
# The name that segpipe.registry.store gives; importing it takes seconds.
VIEW = "segpipe"


def find_pages(root: Path, *, api: str, mlflow: str, login: str) -> dict[str, str]:
    """Name of each page to its address, in the order in which they are printed.

    The report is a file of this machine, as browsers open it; it has an address as soon
    as it is written.

    Args:
        root: The project's folder.
        api: PREFECT_API_URL.
        mlflow: MLFLOW_TRACKING_URI.
        login: ``user:password`` of both servers.

    Raises:
        DataError: If the MLflow server does not answer, or does not know the project,
            for which this segpipe's server opens an experiment when it starts.
    """
    report = page_file(Paths(root.resolve()).artifacts)
    name = project_name(root)
    try:
        answer = read(f"{mlflow}/{BY_NAME}={name}", login)
    except OSError as error:
        raise DataError(
            f"{mlflow}: expected MLflow with the experiment {name}, found {error}; an "
            "older segpipe may have started this server, on a store of its own, or "
            f"{name} had another name then: run `make stop`, then `make serve`"
        ) from error
    number = json.loads(answer)["experiment"]["experiment_id"]
    # MLflow opens its pages for language models unless the address says otherwise.
    training = "workflowType=machine_learning"
    view = f"{training}&viewStateShareKey={VIEW}"
    found = {"Report": report.as_uri()} if report.is_file() else {}
    return found | {
        "Runs": f"{mlflow}/#/experiments/{number}/runs?{view}",
        "Versions": f"{mlflow}/#/models?{training}",
        "Deployments": f"{api.removesuffix('/api')}/deployments",
    }
