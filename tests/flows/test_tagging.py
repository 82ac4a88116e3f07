"""Tags are added, not replaced."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.tagging import tag_run


@pytest.mark.usefixtures("prefect_api")
def test_later_tags_leave_earlier_ones() -> None:
    @flow
    def tagged() -> str:
        tag_run("one")
        tag_run("two", "three")
        return str(flow_run.id)

    run = tagged()

    with get_client(sync_client=True) as client:
        assert set(client.read_flow_run(run).tags) == {"one", "two", "three"}


def test_outside_of_a_flow_run_nothing_happens() -> None:
    tag_run("one")
