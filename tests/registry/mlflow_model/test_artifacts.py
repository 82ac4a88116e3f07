"""The files of a run lie beside its database, for segpipe and for MLflow alone."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from segpipe.project.paths import Paths, sqlite_uri
from segpipe.registry.mlflow_model.artifacts import open_artifacts
from segpipe.registry.store import connect, tracking_uri
from tests.support.places import ROOT

ALONE = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
print(mlflow.artifacts.download_artifacts(run_id=sys.argv[2], artifact_path="a/b.txt"))
assert not any(name.startswith("segpipe.registry.store") for name in sys.modules)
"""


def test_a_file_of_a_run_lies_beside_the_database_and_moves_with_it(
    paths: Paths, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "words", "a/b.txt")
    elsewhere = Paths(tmp_path_factory.mktemp("copy") / "project")

    paths.root.rename(elsewhere.root)

    (file,) = elsewhere.store_files.rglob("b.txt")
    read = connect(elsewhere)[0].download_artifacts(run, "a/b.txt")
    assert Path(read).read_text() == file.read_text() == "words"


def test_the_folder_of_the_files_may_be_a_link_to_a_larger_disk(
    paths: Paths, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    paths.store_files.symlink_to(disk)
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id

    client.log_text(run, "words", "a/b.txt")

    (file,) = disk.rglob("b.txt")
    read = client.download_artifacts(run, "a/b.txt")
    assert Path(read).read_text() == file.read_text() == "words"


def test_mlflow_alone_finds_it_by_the_entry_point(paths: Paths, tmp_path: Path) -> None:
    """As pip writes it from pyproject.toml."""
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "words", "a/b.txt")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = ["[mlflow.artifact_repository]"]
    for name, place in points["entry-points"]["mlflow.artifact_repository"].items():
        lines.append(f"{name} = {place}")
    installed = tmp_path / "installed" / "trial-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: trial\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("\n".join(lines))

    words = [sys.executable, "-W", "error::UserWarning", "-c", ALONE]
    answer = subprocess.run(
        [*words, tracking_uri(paths), run],
        env={**os.environ, "PYTHONPATH": f"{installed.parent}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.split()[-1]).read_text() == "words"


@pytest.mark.parametrize("place", ["/../secret", "/a/../../secret", "/%2e%2e/secret"])
def test_no_place_leads_out_of_the_folder(place: str, tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")

    with pytest.raises(MlflowException, match="leads out"):
        open_artifacts(f"mlflow-artifacts:{place}", uri)
