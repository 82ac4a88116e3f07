"""The page of maintenance: its backup, word for word, brings everything back."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.services.environment import PASSWORD, find_login
from flows.services.services import FOLDER
from segpipe.project.paths import Paths, sqlite_uri
from segpipe.registry.store import connect
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "how-to" / "maintenance.md").read_text(encoding="utf-8")
BLOCKS = {
    block.split("\n", 1)[0].removeprefix("# "): block
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
}
CHAIN = """\
stages:
  train:
    cmd: mkdir -p artifacts/train && cat data/case_* > artifacts/train/weights
    deps: [data]
    outs: [artifacts/train]
"""
# What is computed again, or is made by the restore itself.
LEFT_OUT = {".cache", ".dvc/cache", ".dvc/tmp"}
# Written by the backup itself: its remote, and the data that it adds.
OURS = {".dvc/config.local", "data.dvc"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page's two variables; the backup's name has a space."""
    place = tmp_path_factory.mktemp("backup")
    return {"PROJECT": place / "liver", "BACKUP": place / "a disk" / "liver"}


def execute(script: str, places: dict[str, Path], *, at: Path) -> None:
    """Run shell lines in a folder as the page says, with this environment's dvc."""
    bin_folder = Path(sys.executable).parent
    paths = {name: str(path) for name, path in places.items()}
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-e"],
        input=script,
        cwd=at,
        env={**os.environ, **paths, "PATH": path},
        check=True,
        text=True,
        capture_output=True,
        timeout=240,
    )


def read_tree(root: Path) -> dict[str, tuple[int | str, bytes]]:
    """Mode and bytes of each file, the goal of each link; data and artifacts alike."""
    found: dict[str, tuple[int | str, bytes]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(name == left or name.startswith(f"{left}/") for left in LEFT_OUT):
            continue
        if path.is_symlink():
            found[name] = (str(path.readlink()), b"")
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


@pytest.fixture(scope="module")
def before(places: dict[str, Path]) -> dict[str, tuple[int | str, bytes]]:
    """Build a project, back it up, delete it, restore it; its files before that."""
    root = places["PROJECT"]
    (root / "data").mkdir(parents=True)
    for number in range(3):
        case = root / "data" / f"case_{number}.nii"
        case.write_bytes(bytes([number]) * 1000)
        case.chmod(0o600)
    (root / "dvc.yaml").write_text(CHAIN)
    shutil.copy(ROOT / ".gitignore", root)
    setup = (
        "git init -q && git config user.name a && git config user.email a@b.c\n"
        "dvc init -q && dvc add -q data && dvc repro -q\n"
        "git add . && git commit -q -m start\n"
    )
    execute(setup, places, at=root)
    (root / "data" / "case_3.nii").write_bytes(b"drawn since, and not added")
    (root / "data" / "case_3.nii").chmod(0o600)
    write_record(Paths(root))
    services = root / FOLDER
    (services / "mlflow").mkdir(parents=True)
    services.chmod(0o700)
    find_login(services)
    shutil.copy(root / "mlflow.db", services / "mlflow" / "mlflow.db")
    shutil.copytree(root / "mlartifacts", services / "mlflow" / "mlartifacts")
    with closing(sqlite3.connect(services / "prefect.db")) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute("CREATE TABLE flow_run AS SELECT 'reproduce' AS name")
        database.commit()
    (root / ".checkpoints" / "train").mkdir(parents=True)
    (root / ".checkpoints" / "train" / "step.pt").write_bytes(b"half a training")
    (root / "notes.txt").write_text("in no commit")
    (root / "scans").symlink_to("/scans")
    found = read_tree(root)
    execute(BLOCKS["back up"], places, at=root.parent)
    shutil.rmtree(root)
    execute(BLOCKS["restore"], places, at=root.parent)
    execute(BLOCKS["restore data and artifacts"], places, at=root.parent)
    return found


def write_record(paths: Paths) -> None:
    """A run with a figure and a picture in the project's mlflow.db."""
    client, experiment = connect(paths)
    run = client.create_run(experiment, run_name="unet3d").info.run_id
    client.log_metric(run, "test_dice", 0.8125)
    client.log_text(run, "a picture", "report.png")
    client.set_terminated(run)


def test_the_page_has_the_three_scripts() -> None:
    assert {"back up", "restore", "restore data and artifacts"} <= set(BLOCKS)


def test_every_byte_is_back(
    before: dict[str, tuple[int | str, bytes]], places: dict[str, Path]
) -> None:
    after = read_tree(places["PROJECT"])

    contents = [
        {name: file[1] for name, file in files.items() if name not in OURS}
        for files in (before, after)
    ]
    assert contents[0] == contents[1]
    assert set(after) >= OURS
    assert "notes.txt" in after
    assert after["data/case_3.nii"][1] == b"drawn since, and not added"
    assert after["artifacts/train/weights"][1] == b"".join(
        bytes([number]) * 1000 for number in range(3)
    )


def test_nobody_else_can_read_what_nobody_could_before(
    before: dict[str, tuple[int | str, bytes]], places: dict[str, Path]
) -> None:
    after = read_tree(places["PROJECT"])
    services = places["PROJECT"] / FOLDER

    assert after[f"{FOLDER}/{PASSWORD}"][0] == 0o600
    assert services.stat().st_mode & 0o777 == 0o700
    for name, (mode, _) in before.items():
        assert after[name][0] == mode or after[name][0] == 0o600, name
    assert places["BACKUP"].stat().st_mode & 0o077 == 0
    assert (places["BACKUP"] / "project.tar").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("before")
def test_runs_and_pictures_are_back(places: dict[str, Path], tmp_path: Path) -> None:
    root = places["PROJECT"]
    for file in (root / "mlflow.db", root / FOLDER / "mlflow" / "mlflow.db"):
        client = MlflowClient(sqlite_uri(file))
        experiments = [one.experiment_id for one in client.search_experiments()]
        (run,) = client.search_runs(experiments)

        assert run.info.run_name == "unet3d"
        assert run.data.metrics == {"test_dice": 0.8125}
        picture = client.download_artifacts(run.info.run_id, "report.png", tmp_path)
        assert Path(picture).read_text() == "a picture"
    with closing(sqlite3.connect(root / FOLDER / "prefect.db")) as database:
        assert database.execute("SELECT name FROM flow_run").fetchall() == [
            ("reproduce",)
        ]
