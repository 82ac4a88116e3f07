"""Tagging: what a flow run is known by in the UI, besides its name."""

import base64
from pathlib import Path

from prefect.artifacts import create_image_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext


def tag_run(*tags: str) -> None:
    """Add tags to the flow run that is at work; nothing outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not tags:
        return
    with get_client(sync_client=True) as client:
        known = client.read_flow_run(context.flow_run.id).tags
        client.update_flow_run(context.flow_run.id, tags={*known, *tags})


def show_picture(file: Path, *, key: str, description: str) -> None:
    """Put a PNG on the run's page; no file, no picture.

    It is kept in Prefect's database: only small ones, and none of a patient.
    """
    if file.is_file():
        content = base64.b64encode(file.read_bytes()).decode()
        create_image_artifact(
            f"data:image/png;base64,{content}", key=key, description=description
        )
