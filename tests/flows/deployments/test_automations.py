"""The server crashes zombies; installing it twice changes nothing."""

from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from typer.testing import CliRunner

from flows.deployments.automations import (
    HEARTBEAT,
    RUNNING,
    app,
    crash_zombies,
    install,
)
from tests.support.deployed import ask

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


def test_a_run_may_miss_two_heartbeats_and_not_three() -> None:
    trigger = crash_zombies().trigger
    (action,) = crash_zombies().actions

    assert isinstance(trigger, EventTrigger)
    assert trigger.posture == Posture.Proactive
    assert trigger.after == {HEARTBEAT, RUNNING}
    assert trigger.for_each == {"prefect.resource.id"}
    assert trigger.within == timedelta(seconds=3 * 30)
    assert isinstance(action, ChangeFlowRunState)
    assert action.state == StateType.CRASHED


def test_a_run_that_is_being_cancelled_can_be_a_zombie_and_one_that_rests_not() -> None:
    trigger = crash_zombies().trigger

    assert isinstance(trigger, EventTrigger)
    assert "prefect.flow-run.Cancelling" not in trigger.expect
    assert "prefect.flow-run.Running" not in trigger.expect
    assert {"prefect.flow-run.Suspended", "prefect.flow-run.Completed"} < trigger.expect


def test_what_is_as_it_should_be_is_not_touched(prefect_api: str) -> None:
    """An update would make the server forget the heartbeats that it waits for."""

    def updated() -> list[str]:
        found = ask(prefect_api, "automations/filter", {})
        return [each["updated"] for each in found if "zombie" in each["name"]]

    install(crash_zombies(timedelta(seconds=70)))
    before = updated()
    install(crash_zombies(timedelta(seconds=70)))
    again = updated()
    install(crash_zombies())

    assert before == again
    assert updated() != before


def test_installing_twice_leaves_one_and_as_a_person_switched_it() -> None:
    answer = CliRunner().invoke(app, ["install"])
    assert "on   Crash zombie flow runs" in answer.output
    with get_client(sync_client=True) as client:
        (first,) = client.read_automations_by_name(crash_zombies().name)
        client.create_automation(crash_zombies())  # a copy, made by hand
        client.pause_automation(first.id)
        install(crash_zombies(timedelta(seconds=60)))
        found = client.read_automations_by_name(crash_zombies().name)
        client.resume_automation(found[0].id)

    assert len(found) == 1
    assert isinstance(found[0].trigger, EventTrigger)
    assert found[0].trigger.within == timedelta(seconds=60)
