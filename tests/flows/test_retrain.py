"""What is not worse goes to review, what is worse does not, and nothing goes twice."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.reproduce import SEEN, remember_data
from flows.retrain import DONE, retrain, take_in
from flows.running.commands import CommandError
from segpipe.approval.protocol import protocol_file, write_protocol
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import md5_folder
from segpipe.project.paths import Paths
from segpipe.registry.promotion import promote
from segpipe.registry.register import register_model
from segpipe.registry.versions import find_alias, find_version, list_versions
from segpipe.review.dossier import dossier_folder, read_dossier
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from tests.support.hooks import webhook
from tests.support.phantoms import write_dataset
from tests.support.readers import staff

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


@pytest.fixture(scope="module")
def paths(
    trained: Path,
    tables: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Paths:
    """A project in which every stage is up to date: DVC knows of none."""
    paths = Paths(tmp_path_factory.mktemp("retrained") / "project")
    shutil.copytree(trained, paths.root)
    shutil.copyfile(tables, paths.root / "mlflow.db")
    (paths.root / "dvc.yaml").write_text("stages: {}\n")
    dvc(paths.root, "init", "-q", "--no-scm")
    return paths


@pytest.fixture(autouse=True)
def local_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def dvc(root: Path, *words: str) -> None:
    command = [sys.executable, "-m", "dvc", *words]
    out = subprocess.DEVNULL
    subprocess.run(command, cwd=root, check=True, stdout=out, timeout=240)


def read_note(key: str = "retrain") -> str:
    """The newest artifact of a key."""
    with get_client(sync_client=True) as client:
        wanted = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC"}
        found = client._client.post("/artifacts/filter", json=wanted).json()
    return str(found[0]["data"])


def test_candidates_go_to_review_once_and_a_person_promotes(paths: Paths) -> None:
    assert retrain(str(paths.root), name="liver", model="poor") == "registered"

    (version,) = list_versions("liver", paths)
    assert version.aliases == ("candidate",)
    assert version.tags["review.status"] == "pending"
    assert version.tags["prefect.flow_run"]
    assert find_alias("liver", "champion", paths) is None

    assert retrain(str(paths.root), name="liver", model="poor") == "unchanged"
    assert len(list_versions("liver", paths)) == 1
    assert "Nothing new: poor is version 1 of liver" in read_note()

    promote("liver", "1", "the first", paths)

    assert retrain(str(paths.root), name="liver", model="good") == "registered"
    champion = find_alias("liver", "champion", paths)
    candidate = find_alias("liver", "candidate", paths)
    assert champion is not None
    assert champion.version == "1"  # a person promotes, not the flow
    assert candidate is not None
    assert candidate.version == "2"
    assert "good is version 2 of liver, to review" in read_note()


def test_a_worse_candidate_gets_a_note_with_the_reasons(paths: Paths) -> None:
    register_model("good", "kidney", tags={}, paths=paths)
    promote("kidney", "1", "the first", paths)

    assert retrain(str(paths.root), name="kidney", model="poor") == "rejected"
    assert len(list_versions("kidney", paths)) == 1
    note = read_note()
    assert "poor is not registered" in note
    assert "case_" not in note  # names of cases stay in the project


def test_readers_are_asked_once_and_no_run_waits_for_them(paths: Paths) -> None:
    """A hook that fails is a warning; nobody is told twice."""
    with webhook() as hook:
        write_protocol(paths.root)
        staff(paths.root, "jane", "joe")
        file = protocol_file(paths.root)
        address = f"webhook: {hook.url}/closed"
        text = file.read_text().replace("webhook: null", address)
        file.write_text(text.replace("require: false", "require: true"))
        try:
            # Without a model: the best on validation patients.
            assert retrain(str(paths.root), name="spleen") == "registered"
            first = find_version("spleen", "1", paths)
            note = read_note()
            assert retrain(str(paths.root), name="spleen") == "unchanged"
        finally:
            file.unlink()

    dossier = read_dossier(dossier_folder(paths, "spleen", "1"))
    assert dossier.segmenter == first.tags["segpipe.segmenter"]
    assert first.tags["segpipe.model"] == "good"
    assert first.tags["review.asked"].endswith("+00:00")
    assert first.tags["review.status"] == "pending"
    assert find_version("spleen", "1", paths).tags == first.tags
    assert "It waits for its [review](http://127.0.0.1:8010)." in note
    assert "No version is promoted without it." in note
    ((_, _, body),) = hook.got  # once, although it answered with 403
    said = json.loads(body)
    assert (said["name"], said["version"]) == ("spleen", "1")
    assert said["items"] == len(dossier.items)
    shown = body.decode() + note + read_note("review")
    assert "case_" not in shown  # names of cases stay in the project
    assert "[Open the review](http://127.0.0.1:8010)" in shown


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that DVC tracks; copy them, never change them."""
    root = tmp_path_factory.mktemp("tracked")
    write_dataset(root / "data", cases=4)
    dvc(root, "init", "-q", "--no-scm")
    dvc(root, "add", "-q", "data")
    return root


@pytest.fixture
def workspace(tracked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tracked, tmp_path / "workspace"))


def deliver(inbox: Path, *, cases: int, name: str = "monday") -> Path:
    """A delivery as a colleague's export would be."""
    folder = inbox / name
    write_dataset(folder, cases=cases)
    for file in sorted(folder.rglob("case_*")):
        file.rename(file.with_name(file.name.replace("case_", f"{name}_")))
    patients = folder / "patients.csv"
    if patients.is_file():
        patients.write_text(patients.read_text().replace("case_", f"{name}_"))
    return folder


def count(root: Path) -> int:
    return len(list((root / "data" / "labelsTr").iterdir()))


def test_a_delivery_joins_the_data_and_leaves_the_inbox(workspace: Path) -> None:
    inbox = workspace.parent / "inbox"
    deliver(inbox, cases=2)
    before = (workspace / "data.dvc").read_text()

    take_in(str(workspace), str(inbox), [], settle_s=0)

    assert count(workspace) == 6
    assert (workspace / "data.dvc").read_text() != before
    assert [one.name for one in inbox.iterdir()] == [DONE]
    take_in(str(workspace), str(inbox), [], settle_s=0)
    assert count(workspace) == 6


def test_a_delivery_joins_the_data_that_git_brought_and_not_the_older_ones(
    workspace: Path,
) -> None:
    """Else the newer data.dvc would be written over, and its cases lost in silence."""
    older, inbox = workspace / "data.dvc", workspace.parent / "inbox"
    remember_data(str(workspace))
    before = older.read_text()
    deliver(inbox, cases=1, name="tuesday")
    take_in(str(workspace), str(inbox), [], settle_s=0)
    newer = older.read_text()
    older.write_text(before)
    dvc(workspace, "checkout", "-q", "data.dvc")
    remember_data(str(workspace))
    assert count(workspace) == 4
    older.write_text(newer)

    deliver(inbox, cases=2)
    take_in(str(workspace), str(inbox), [], settle_s=0)

    assert count(workspace) == 4 + 1 + 2


@pytest.mark.parametrize("steps", [1, 3])
def test_a_run_that_was_killed_after_a_step_is_repeated_to_the_same_end(
    steps: int, workspace: Path
) -> None:
    """Killed before the move, it asked to rename files: the patients came in twice."""
    inbox, data = workspace.parent / "inbox", workspace / "data"
    folder = deliver(inbox, cases=2)
    import_dataset(folder, data, ImportOptions(add=True))
    if steps > 1:
        dvc(workspace, "add", "-q", "data")
        remember_data(str(workspace))

    take_in(str(workspace), str(inbox), [], settle_s=0)

    assert count(workspace) == 6
    assert f"md5: {md5_folder(data)}.dir" in (workspace / "data.dvc").read_text()
    assert (workspace / SEEN).read_text() == (workspace / "data.dvc").read_text()
    assert [one.name for one in inbox.iterdir()] == [DONE]
    assert [one.name.split("-", 1)[1] for one in (inbox / DONE).iterdir()] == ["monday"]


def test_a_delivery_that_is_still_written_waits(workspace: Path) -> None:
    inbox = workspace.parent / "inbox"
    folder = deliver(inbox, cases=2)

    take_in(str(workspace), str(inbox), [], settle_s=3600)

    assert folder.is_dir()
    assert count(workspace) == 4
    old = time.time() - 7200
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (old, old))
    take_in(str(workspace), str(inbox), [], settle_s=3600)
    assert count(workspace) == 6


def test_a_refused_delivery_stays_and_the_data_are_as_they_were(
    workspace: Path,
) -> None:
    inbox = workspace.parent / "inbox"
    folder = deliver(inbox, cases=2)
    (folder / "dataset.json").write_text("{}")
    before = (workspace / "data.dvc").read_text()

    with pytest.raises(CommandError, match="Field required"):
        take_in(str(workspace), str(inbox), [], settle_s=0)

    assert folder.is_dir()
    assert count(workspace) == 4
    assert (workspace / "data.dvc").read_text() == before


def test_no_delivery_may_give_up_the_data(workspace: Path) -> None:
    with pytest.raises(DataError, match="use it by hand only"):
        take_in(str(workspace), str(workspace), ["--replace"], settle_s=0)
