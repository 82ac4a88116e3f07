"""automations: what the Prefect server does by itself when something happens.

``python -m flows.deployments.automations install`` adds what the open-source server
does not have.
"""

from datetime import timedelta
from typing import Any

import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

HEARTBEAT = "prefect.flow-run.heartbeat"
RUNNING = "prefect.flow-run.Running"  # a run may be lost before its first heartbeat
# A run in one of these states has no process and sends no heartbeat, which is right.
# Runs that ended with another state name are safe: the server lets no run leave its
# final state. Cancelling is absent on purpose: the process that should cancel the run
# may be lost.
RESTING = (
    "Completed",
    "Failed",
    "Cancelled",
    "Crashed",
    "TimedOut",
    "Suspended",
    "AwaitingRetry",
    "Scheduled",
)
WITHIN = timedelta(seconds=90)  # three heartbeats of 30 s

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)


def crash_zombies(within: timedelta = WITHIN) -> AutomationCore:
    """Automation that marks a run as crashed when its process is gone.

    Args:
        within: How long a run may be silent. It sends a heartbeat every
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY seconds: 30 in prefect.yaml, the minimum.

    Source:
        https://docs.prefect.io/v3/advanced/detect-zombie-flows, which starts to watch
        at the first heartbeat; this automation starts with the run.
    """
    return AutomationCore(
        name="Crash zombie flow runs",
        description="Mark a run as crashed if it sends no heartbeat and has not ended.",
        trigger=EventTrigger(
            after={HEARTBEAT, RUNNING},
            expect={HEARTBEAT, *(f"prefect.flow-run.{name}" for name in RESTING)},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            # Runs that a person starts by hand may send heartbeats less often.
            match_related=ResourceSpecification(
                {"prefect.resource.role": "deployment"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {within.total_seconds():.0f} s: the worker "
                "or its machine was lost. Run it again: it continues where it was.",
            )
        ],
    )


def install(automation: AutomationCore) -> None:
    """Create an automation, or bring the one of that name up to date.

    It stays on or off as a person left it. An automation that is up to date is not
    updated: the server would forget the heartbeats that it waits for, and a run lost at
    that moment would stay "running".
    """
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            return
        first, *others = found
        if _definition(first) != _definition(automation):
            wanted = automation.model_copy(update={"enabled": first.enabled})
            client.update_automation(first.id, wanted)
        for other in others:
            client.delete_automation(other.id)


def _definition(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include={"description", "trigger", "actions"})


@app.command("install")
def install_all() -> None:
    """Install all automations, or bring them up to date."""
    install(crash_zombies())
    list_all()


@app.command("list")
def list_all() -> None:
    """List the automations of the server at PREFECT_API_URL."""
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            typer.echo(f"{'on ' if automation.enabled else 'off'}  {automation.name}")


if __name__ == "__main__":
    app()
