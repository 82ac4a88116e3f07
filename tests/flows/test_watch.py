"""What changed is said once, and by an event."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.running.commands import git
from flows.watch import CHANGED, look, watch
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE
from segpipe.tools.study.files import describe_study
from tests.support.servers import wait_until

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "a-clone-in-another-folder"
    root.mkdir()
    describe_study(tmp_path.name, {}).write(root / FILE)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "data.dvc").write_text("outs: []\n")
    git(root, "init", "--quiet")
    return root


def commit(root: Path) -> None:
    git(root, "add", "dvc.yaml")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(root, *who, "commit", "--quiet", "--allow-empty", "--message", "one")


def events_of(project: str) -> list[list[str]]:
    """What the server knows to have changed in a project, event by event."""
    wanted = {
        "filter": {
            "event": {"name": [CHANGED]},
            "resource": {"id": [f"segpipe.project.{project}"]},
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
    name = project.parent.name
    wait_until(lambda: events_of(name) == said, what=f"{said}")


def test_a_checkout_goes_by_its_name_in_whatever_folder_it_lies(project: Path) -> None:
    """The trigger of its retrain waits for the events of this name."""
    (project / FILE).unlink()
    before = len(events_of("segpipe"))

    watch(str(project))

    wait_until(lambda: events_of("segpipe")[before:] == [["data"]], 30)


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
