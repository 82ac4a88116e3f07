"""promote: move the alias champion to a version whose signed approval asks for that.

The event ``segpipe.review.approved`` starts the flow. An event is no evidence: whoever
has Prefect's login can send one. What counts is the signed record that it names.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.reviewing.fulfil import fulfil


@flow(name="promote", flow_run_name="{name}-{version}")
def promote(
    name: str, version: str, digest: str, record: int, root: str = "."
) -> State[Any]:
    """Promote an approved version by the policy, as `segpipe promote` does.

    Args:
        name: Name of the registered model.
        version: Number of the version.
        digest: Digest of the segmenter that was approved.
        record: Number of the signed decision that completed the approval.
        root: The project's folder.

    Returns:
        Completed as Promoted, or as Waits if the decision does not ask for a promotion;
        Failed as Refused, with the reason, if the records do not allow it.
    """
    try:
        done = fulfil(name, version, digest, record, Paths(Path(root).resolve()))
    except DataError as error:
        note(f"{name} {version} was not promoted. {error}")
        return Failed(name="Refused", message=str(error))
    note(done.words)
    return Completed(name="Promoted" if done.promoted else "Waits", message=done.words)


def note(text: str) -> None:
    """Write the outcome to the log and to the run's page."""
    get_run_logger().info(text)
    create_markdown_artifact(text, key="promote", description="Outcome of the run")
