"""What changed is said once, and by an event."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.running.commands import git
from flows.watch import CHANGED, look, watch
from segpipe.project.errors import DataError
from tests.support.servers import wait_until

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / tmp_path.name
    root.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "data.dvc").write_text("outs: []\n")
    git(root, "init", "--quiet")
    return root


def commit(root: Path) -> None:
    git(root, "add", "dvc.yaml")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(root, *who, "commit", "--quiet", "--allow-empty", "--message", "one")


def events_of(root: Path) -> list[list[str]]:
    """What the server knows to have changed, event by event."""
    wanted = {
        "filter": {
            "event": {"name": [CHANGED]},
            "resource": {"id": [f"segpipe.project.{root.name}"]},
            "order": "ASC",
        }
    }
    with get_client(sync_client=True) as client:
        answer = client._client.post("/events/filter", json=wanted)
    return [event["payload"]["changed"] for event in answer.json()["events"]]


def test_each_change_is_one_event_and_no_change_none(project: Path) -> None:
    inbox = project.parent / "inbox"
    (inbox / ".done").mkdir(parents=True)
    (inbox / ".done" / "old").touch()

    assert watch(str(project), str(inbox)) == ["data"]
    assert watch(str(project), str(inbox)) == []
    commit(project)
    assert watch(str(project), str(inbox)) == ["commit"]
    (project / "data.dvc").write_text("outs: [1]\n")
    (inbox / "monday").mkdir()
    (inbox / "monday" / "scan.nii").touch()
    assert watch(str(project), str(inbox)) == ["data", "inbox"]
    assert watch(str(project), str(inbox)) == []

    said = [["data"], ["commit"], ["data", "inbox"]]
    wait_until(lambda: events_of(project) == said, what=f"{said}")


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a project with dvc\.yaml"):
        look(tmp_path, None)


@pytest.mark.parametrize("change", ["grows", "is written anew", "goes"])
def test_an_inbox_is_known_by_its_files(project: Path, change: str) -> None:
    inbox = project.parent / "inbox"
    (inbox / "monday").mkdir(parents=True)
    file = inbox / "monday" / "scan.nii"
    file.write_text("1")
    before = look(project, str(inbox))

    if change == "grows":
        file.write_text("12")
    elif change == "is written anew":
        file.unlink()
        file.write_text("2")
    else:
        file.unlink()

    assert look(project, str(inbox)) != before
