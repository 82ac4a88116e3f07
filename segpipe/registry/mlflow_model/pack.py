"""Pack: log a segmenter as an MLflow model, close it, load it."""

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import Model

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import first_line, reachable, shown_uri
from segpipe.segmenter.spec import SCHEME


@dataclass(frozen=True)
class Packed:
    """A segmenter that is ready to be logged as an MLflow model.

    Attributes:
        folder: Folder with the numbered folders of the folds and provenance.json.
        code: The file that defines the model.
        signature: Inputs, outputs and parameters of the model.
        requirements: Packages and versions that it was tested with.
        about: Metadata kept inside the model.
    """

    folder: Path
    code: Path
    signature: Any
    requirements: tuple[str, ...]
    about: dict[str, str]


def log_model(packed: Packed, run: str, paths: Paths) -> str:
    """Log a segmenter as a pyfunc from code; it is neither pickled nor registered.

    Returns:
        Id of the logged model, which is *pending* until ``close_model``.

    Raises:
        DataError: If the store cannot be reached, or does not accept files.
    """
    with reachable(paths) as (client, experiment), tempfile.TemporaryDirectory() as tmp:
        logged = client.create_logged_model(
            experiment, "segmenter", source_run_id=run, model_type="segmenter"
        )
        whole = Path(tmp) / "model"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a missing example: a case is tried
            mlflow.pyfunc.save_model(
                str(whole),
                python_model=str(packed.code),
                artifacts={"segmenter": str(packed.folder)},
                signature=packed.signature,
                pip_requirements=list(packed.requirements),
                metadata=packed.about,
                mlflow_model=Model(run_id=run, model_id=logged.model_id),
            )
        try:
            client.log_model_artifacts(logged.model_id, str(whole))
        except OSError as error:  # an HTTP error is one
            raise DataError(
                f"{shown_uri(paths)}: expected a store that accepts files, found "
                f"{first_line(error)}; check the server's log and disk"
            ) from error
    return str(logged.model_id)


def close_model(model: str, paths: Paths, *, good: bool) -> None:
    """Mark a logged model as ready if its trial was good, otherwise as failed."""
    with reachable(paths) as (client, _):
        client.finalize_logged_model(model, "READY" if good else "FAILED")


def load_model(model: str) -> Any:
    """Load a logged model from the store at MLFLOW_TRACKING_URI, as any client does."""
    return mlflow.pyfunc.load_model(f"{SCHEME}{model}")
