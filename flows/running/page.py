"""Page: the tags and pictures of a flow run in the Prefect UI."""

import base64
from pathlib import Path

from prefect.artifacts import create_image_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext


def tag_run(*tags: str) -> None:
    """Add tags to the current flow run; outside of a run, do nothing."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not tags:
        return
    with get_client(sync_client=True) as client:
        known = client.read_flow_run(context.flow_run.id).tags
        client.update_flow_run(context.flow_run.id, tags={*known, *tags})


def show_picture(file: Path, *, key: str, description: str) -> None:
    """Show a PNG on the page of the run; do nothing if there is no such file.

    Prefect's database keeps the picture: use small ones, and none of a patient.
    """
    if file.is_file():
        content = base64.b64encode(file.read_bytes()).decode()
        create_image_artifact(
            f"data:image/png;base64,{content}", key=key, description=description
        )
