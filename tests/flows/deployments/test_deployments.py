"""prefect.yaml is deployed whole, and its forms explain themselves."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.deployments.automations import WITHIN
from flows.deployments.deployments import install
from segpipe.tools.reviewing.announce import APPROVED
from segpipe.tools.study.files import files_of_segpipe
from tests.support.deployed import ask
from tests.support.places import ROOT

pytestmark = pytest.mark.slow
NAMES = ("reproduce", "train", "retrain", "promote", "watch", "segment")


@pytest.fixture(scope="module")
def deployed(prefect_api: str) -> dict[str, Any]:
    install(ROOT, "prefect.yaml")
    return {name: ask(prefect_api, f"deployments/name/{name}/{name}") for name in NAMES}


def test_every_deployment_waits_in_a_pool_and_starts_nothing_unasked(
    deployed: dict[str, Any],
) -> None:
    pools = {name: each["work_pool_name"] for name, each in deployed.items()}
    schedules = {
        name: [(each["slug"], each["active"]) for each in deployment["schedules"]]
        for name, deployment in deployed.items()
    }

    assert pools == {**dict.fromkeys(NAMES, "cpu"), "train": "gpu"}
    assert schedules == {
        "reproduce": [],
        "train": [],
        "retrain": [("nightly", False)],
        "promote": [],
        "watch": [("every-five-minutes", False)],
        "segment": [],
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_form_of_a_deployment_explains_each_parameter(
    deployed: dict[str, Any], name: str
) -> None:
    schema = deployed[name]["parameter_openapi_schema"]["properties"]

    assert schema
    assert not [each for each in schema if not schema[each].get("description")]
    assert deployed[name]["description"]
    assert set(deployed[name]["parameters"]) <= set(schema)


def test_what_changes_the_workspace_runs_one_at_a_time(
    deployed: dict[str, Any], prefect_api: str
) -> None:
    queue = ask(prefect_api, "work_pools/cpu/queues/workspace")
    in_it = {
        name
        for name, each in deployed.items()
        if each["work_queue_name"] == queue["name"]
    }

    assert in_it == {"reproduce", "retrain"}
    assert queue["concurrency_limit"] == 1


def test_runs_begin_in_the_projects_folder(deployed: dict[str, Any]) -> None:
    (step,) = deployed["reproduce"]["pull_steps"]

    assert step["prefect.deployments.steps.set_working_directory"] == {
        "directory": str(ROOT)
    }


def test_the_hearts_of_all_runs_beat_often_enough(deployed: dict[str, Any]) -> None:
    """Prefect's own 180 s would make each run that lives look lost."""
    variable = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    beats = {each["job_variables"]["env"][variable] for each in deployed.values()}

    assert {3 * int(beat) for beat in beats} == {WITHIN.total_seconds()}


def test_new_data_start_a_retraining(
    deployed: dict[str, Any], prefect_api: str
) -> None:
    by_name = {
        each["name"]: each for each in ask(prefect_api, "automations/filter", {})
    }
    retrain = by_name["Retrain on new data"]

    assert retrain["trigger"]["expect"] == ["segpipe.data.changed"]
    assert [each["deployment_id"] for each in retrain["actions"]] == [
        deployed["retrain"]["id"]
    ]


def test_an_approval_starts_a_promotion_with_what_the_event_says(
    deployed: dict[str, Any], prefect_api: str
) -> None:
    by_name = {
        each["name"]: each for each in ask(prefect_api, "automations/filter", {})
    }
    (action,) = by_name["Promote approved versions"]["actions"]

    assert by_name["Promote approved versions"]["trigger"]["expect"] == [APPROVED]
    assert action["deployment_id"] == deployed["promote"]["id"]
    assert action["parameters"] == {
        name: f"{{{{ event.payload.{name} }}}}"
        for name in ("name", "version", "digest", "record")
    }


def test_runs_know_where_readers_find_the_review(deployed: dict[str, Any]) -> None:
    found = {
        each["job_variables"]["env"]["SEGPIPE_REVIEW_URL"] for each in deployed.values()
    }

    assert found == {"http://127.0.0.1:8010"}


def matched_projects(api: str) -> dict[str, Any]:
    """The project whose events each automation waits for."""
    names = {x["name"]: x for x in ask(api, "automations/filter", {})}
    return {
        name: each["trigger"]["match"]
        for name, each in names.items()
        if each["trigger"]
        .get("match", {})
        .get("prefect.resource.id", "")
        .startswith("segpipe.project.")
    }


def test_a_study_on_the_same_server_has_deployments_of_its_own(
    deployed: dict[str, Any], prefect_api: str, tmp_path: Path
) -> None:
    """By the study's name; its folder holds no code."""
    before = matched_projects(prefect_api)
    (tmp_path / "prefect.yaml").write_text(files_of_segpipe("liver")["prefect.yaml"])
    install(tmp_path, "prefect.yaml")
    own = {name: ask(prefect_api, f"deployments/name/{name}/liver") for name in NAMES}
    after = {
        name: ask(prefect_api, f"deployments/name/{name}/{name}") for name in NAMES
    }

    assert not {x["id"] for x in own.values()} & {x["id"] for x in deployed.values()}
    assert own["reproduce"]["pull_steps"] == [
        {
            "prefect.deployments.steps.set_working_directory": {
                "directory": str(tmp_path)
            }
        }
    ]
    assert [x["pull_steps"] for x in after.values()] == [
        x["pull_steps"] for x in deployed.values()
    ]
    usual = {
        "Retrain on new data": {"prefect.resource.id": "segpipe.project.segpipe"},
        "Promote approved versions": {"prefect.resource.id": "segpipe.project.segpipe"},
    }
    assert before.items() >= usual.items()  # other tests may have studies of their own
    assert matched_projects(prefect_api) == before | {
        "Retrain liver on new data": {"prefect.resource.id": "segpipe.project.liver"},
        "Promote approved versions of liver": {
            "prefect.resource.id": "segpipe.project.liver"
        },
    }


def test_the_kubernetes_pool_declares_each_variable_that_its_jobs_use() -> None:
    template = json.loads((ROOT / "docs" / "kubernetes" / "gpu-pool.json").read_text())
    used = set(
        re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"]))
    )

    assert used == set(template["variables"]["properties"])
    assert not [
        name
        for name, each in template["variables"]["properties"].items()
        if not each["description"]
    ]


def test_a_file_that_cannot_be_deployed_is_refused(
    prefect_api: str, tmp_path: Path
) -> None:
    """It names a module that is not there; it may lie in a folder without code."""
    text = (ROOT / "prefect.yaml").read_text()
    wrong = text.replace("flows.segment.segment", "flows.segments.segment")
    assert wrong != text
    (tmp_path / "prefect.yaml").write_text(wrong)

    with pytest.raises(subprocess.CalledProcessError):
        install(tmp_path, "prefect.yaml")
