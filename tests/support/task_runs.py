"""Task runs as Prefect's server knows them."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType, TaskRun

from tests.support.servers import wait_until


def read_task_runs(flow_run: UUID, number: int) -> dict[str, StateType | None]:
    """The final state of each task run of a flow run, by its name.

    Task runs are reported as events, which may reach the server after the flow run
    has ended, so this waits until so many are known and final.
    """
    only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))

    def read() -> list[TaskRun] | None:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(flow_run_filter=only)
        final = [run for run in runs if run.state and run.state.is_final()]
        return final if len(final) == len(runs) >= number else None

    found = wait_until(read, what=f"{number} task runs end") if number else read()
    return {run.name: run.state_type for run in found or []}
