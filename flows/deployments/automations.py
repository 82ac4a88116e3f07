"""automations: what the Prefect server does by itself when something happens.

``python -m flows.deployments.automations install`` sets up what the open-source
server lacks.
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
RUNNING = "prefect.flow-run.Running"  # a run may be lost before its heart beats once
# A run in one of these has no process, and so no heartbeat, and nothing is wrong.
# Runs that ended under a name of their own are safe: the server lets no run leave its
# end. Cancelling is missing on purpose: whoever should cancel may be gone.
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
    """A flow run whose process is gone does not stay "running" for ever.

    Args:
        within: How long a run may be silent. Its heart beats every
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY seconds: 30 in prefect.yaml, the least.

    Source:
        https://docs.prefect.io/v3/advanced/detect-zombie-flows, which begins with the
        first heartbeat; here with the run.
    """
    return AutomationCore(
        name="Crash zombie flow runs",
        description="A run that is silent without having ended is marked as crashed.",
        trigger=EventTrigger(
            after={HEARTBEAT, RUNNING},
            expect={HEARTBEAT, *(f"prefect.flow-run.{name}" for name in RESTING)},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            # Not what a person runs by hand, whose heart may beat more slowly.
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
                "or its machine was lost. Run it again: it goes on where it was.",
            )
        ],
    )


def install(automation: AutomationCore) -> None:
    """Create an automation, or bring the one of that name up to date.

    Whether it is switched on stays as a person left it. One that is as it should be is
    not touched: the server would forget the heartbeats that it is waiting for, and runs
    that were lost just then would stay "running".
    """
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(automation.name)
        if not there:
            client.create_automation(automation)
            return
        first, *others = there
        if _read_meaning(first) != _read_meaning(automation):
            wanted = automation.model_copy(update={"enabled": first.enabled})
            client.update_automation(first.id, wanted)
        for other in others:
            client.delete_automation(other.id)


def _read_meaning(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include={"description", "trigger", "actions"})


@app.command("install")
def install_all() -> None:
    """Set up all of them, or bring them up to date."""
    install(crash_zombies())
    list_all()


@app.command("list")
def list_all() -> None:
    """The automations of the server at PREFECT_API_URL."""
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            typer.echo(f"{'on ' if automation.enabled else 'off'}  {automation.name}")


if __name__ == "__main__":
    app()
