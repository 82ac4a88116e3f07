"""The real dvc.yaml in a small project: what is stale runs, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.phantoms import write_dataset
from tests.support.places import ROOT
from tests.support.projects import PATIENTS

pytestmark = pytest.mark.slow


def small_params() -> dict[str, Any]:
    """The example's params, with two small models and two folds."""
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    params["compute"] |= {"device": "cpu", "precision": "fp32", "threads": 1}
    params["split"] = {"seed": 2, "test_fraction": 0.4, "n_folds": 2}
    small = params["train"]["unet2d"] | {
        "base_channels": 2,
        "patch_size": [16, 16, 1],
        "epochs": 1,
        "steps_per_epoch": 2,
        "validation_interval": 1,
    }
    params["train"] = {"a": small, "b": small | {"border_weights": False}}
    params["models"], params["folds"] = ["a", "b"], [0, 1]
    for stage in ("verify", "plan", "preprocess", "weigh", "evaluate"):
        params[stage]["workers"] = 1
    return dict(params)


def write_params(project: Path, params: dict[str, Any]) -> None:
    (project / "params.yaml").write_text(json.dumps(params))  # JSON is YAML


def run(project: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=project,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": f"sqlite:///{project}/runs.db",
            "DVC_NO_ANALYTICS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-4000:]
    return answer.stdout + answer.stderr


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    for name in ("segpipe", "dvc.yaml", "requirements-numerics.lock", ".dvcignore"):
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, project / name, ignore=ignore)
        else:
            shutil.copyfile(source, project / name)
    write_dataset(project / "data", cases=10, patients=PATIENTS)
    write_params(project, small_params())
    run(project, "dvc", "init", "-q", "--no-scm")
    run(project, "dvc", "add", "data")
    return project


def test_what_is_stale_runs_and_what_was_dropped_takes_effect(project: Path) -> None:
    params = small_params()
    write_params(project, params)
    artifacts = project / "artifacts"

    first = stages_run(run(project, "dvc", "repro"))
    assert first[:4] == ["code", "verify", "split", "plan"]
    assert first[4:7] == ["preprocess", "annotate", "weigh"]
    assert set(first[7:11]) == {f"train@{m}-{f}" for m in "ab" for f in "01"}
    assert first[-1] == "report"
    page = (artifacts / "report" / "index.html").read_text()
    assert "<th>a</th><th>b</th>" in page

    again = run(project, "dvc", "repro")
    assert not stages_run(again)
    assert "up to date" in again

    write_params(project, params | {"folds": [0], "models": ["b"]})
    fewer = stages_run(run(project, "dvc", "repro"))
    assert not [stage for stage in fewer if stage.startswith("train")]
    assert fewer[-3:] == ["predict@b", "evaluate@b", "report"]
    assert "predict@a" not in fewer
    document = json.loads((artifacts / "predict/b/predictions.json").read_text())
    assert document["folds"] == [0]
    page = (artifacts / "report" / "index.html").read_text()
    assert "<th>b</th>" in page
    assert "<th>a</th>" not in page

    lines = run(project, "segpipe", "record")
    assert "b, fold 0" in lines
    assert "a, fold 0" not in lines
    assert "Means over" in run(project, "segpipe", "results")


def sides(root: Path) -> dict[str, str]:
    """Case to side, as the stage split wrote it."""
    document = json.loads((root / "artifacts/split/split.json").read_text())
    side = dict.fromkeys(document["test"], "test")
    for number, fold in enumerate(document["folds"]):
        side |= dict.fromkeys(fold["validation"], str(number))
    return side


def test_patients_keep_their_side_in_every_clone(project: Path, tmp_path: Path) -> None:
    """By split.lock in git; DVC empties artifacts/split before the stage runs."""
    root, clone = tmp_path / "root", tmp_path / "clone"
    ignored = shutil.ignore_patterns(".dvc", "artifacts", ".cache", "*.dvc", "*.lock")
    shutil.copytree(project, root, ignore=ignored)
    shutil.copy(ROOT / "requirements-numerics.lock", root)
    write_params(root, small_params())
    (root / ".gitignore").write_text("/artifacts/\n/data/\n/.cache/\n__pycache__/\n")

    def git(where: Path, *words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *who, *words],
            cwd=where,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    git(root, "init", "-q")
    run(root, "dvc", "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    said = run(root, "dvc", "repro", "split")
    before = sides(root)
    assert "new in split.lock: 5 patients; commit the file to git" in said
    assert "?? split.lock" in git(root, "status", "--short")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "split")
    assert not stages_run(run(root, "dvc", "repro", "split"))

    more = PATIENTS | {f"case_{n}": f"smith_{n}" for n in (10, 11, 12)}
    write_dataset(root / "data", cases=13, patients=more)
    run(root, "dvc", "repro", "split")
    after = sides(root)
    assert before.items() < after.items()
    assert " M split.lock" in git(root, "status", "--short")
    git(root, "commit", "-qam", "three more")

    git(tmp_path, "clone", "-q", str(root), str(clone))
    shutil.copytree(root / "data", clone / "data")
    run(clone, "dvc", "repro", "split")
    assert sides(clone) == after
    assert not git(clone, "status", "--short")
