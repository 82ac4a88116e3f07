"""From the signed decision by Prefect's event to the champion, with a real server."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.deployments.deployments import install
from flows.promote import promote
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import find_case
from segpipe.tools.reviewing.decide import Verdict, decide
from tests.support.deployed import ask
from tests.support.places import ROOT
from tests.support.reviews import password_of, write_chain
from tests.support.servers import wait_until
from tests.support.stores import add_packed, aliases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(
    tables: Path, prefect_api: str, tmp_path_factory: pytest.TempPathFactory
) -> Paths:
    """Two versions that nobody decided about, and the deployments of prefect.yaml."""
    paths = Paths(tmp_path_factory.mktemp("approved"))
    shutil.copyfile(tables, paths.root / "mlflow.db")
    shutil.copyfile(ROOT / "prefect.yaml", paths.root / "prefect.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_chain(paths.root)
        for seed in (1, 2):
            add_packed(paths, seed, trainers=("tom@lab",))
        install(paths.root, "prefect.yaml")
    return paths


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)


def approve(project: Paths, version: str, *, promote: bool) -> tuple[int, str]:
    """Number of the record, and what is said of what comes next."""
    verdict = Verdict("approve", "I find it fit for use", "finer vessels", promote)
    said: list[str] = []
    record = decide(
        *("liver", version, verdict, "lea", password_of("lea"), project),
        tell=said.append,
    )
    return record.number, "".join(said)


def started(api: str, number: int) -> dict[str, Any]:
    """The parameters of the run that the event of a record started."""
    wanted = {"deployments": {"name": {"any_": ["promote"]}}}

    def found() -> list[dict[str, Any]]:
        runs = ask(api, "flow_runs/filter", wanted)
        given: list[dict[str, Any]] = [one["parameters"] for one in runs]
        return [one for one in given if str(one.get("record")) == str(number)]

    (parameters,) = wait_until(found, 60, what="the automation starts a run")
    return parameters


def run(project: Paths, parameters: dict[str, Any]) -> State[Any]:
    state: State[Any] = promote(**parameters, root=str(project.root), return_state=True)
    return state


def test_a_decision_that_asks_for_it_starts_the_flow_that_moves_the_alias(
    project: Paths, prefect_api: str
) -> None:
    number, said = approve(project, "1", promote=True)
    digest = find_case("liver", "1", project).subject.segmenter

    parameters = started(prefect_api, number)

    assert "Prefect was told" in said
    assert parameters == {
        "name": "liver",
        "version": "1",
        "digest": digest,
        "record": number,
    }
    state = run(project, parameters)
    assert (state.type.value, state.name) == ("COMPLETED", "Promoted")
    assert aliases(project)["champion"] == "1"


def test_a_decision_that_does_not_is_a_result_that_says_so(
    project: Paths, prefect_api: str
) -> None:
    number, _ = approve(project, "2", promote=False)

    state = run(project, started(prefect_api, number))

    assert (state.type.value, state.name) == ("COMPLETED", "Waits")
    assert "does not ask to promote it" in str(state.message)
    assert aliases(project).get("champion") != "2"


def test_an_event_that_somebody_made_up_is_refused_with_the_reason(
    project: Paths,
) -> None:
    made_up = {"name": "liver", "version": "2", "digest": "c" * 64, "record": 12}

    state = run(project, made_up)

    assert (state.type.value, state.name) == ("FAILED", "Refused")
    assert "record 12: expected the approval of liver 2" in str(state.message)
    assert aliases(project).get("champion") != "2"
