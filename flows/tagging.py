"""Tagging: what a flow run is known by in the UI, besides its name."""

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
