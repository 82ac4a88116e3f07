"""Which change of code makes which stage stale, told by DVC and the real dvc.yaml.

Every command but that of the stage code is a stand-in that writes constant files: what
DVC decides to run depends on the graph and on the digests of code alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.places import ROOT

MODELS = {"flat": "unet2d", "deep": "unet3d"}
STAND_IN = """
import pathlib, sys
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
"""
FORWARD = "        logits: Tensor = self.classify(features)\n"
TRAININGS = {"train@flat-0", "train@deep-0"}


def name_of(out: Any) -> str:
    """The path of an output, which may have options."""
    return out if isinstance(out, str) else str(next(iter(out)))


def stand_in(stages: dict[str, Any]) -> dict[str, Any]:
    """The stages with commands that write what later stages depend on."""
    needed = [dep for stage in stages.values() for dep in stage["deps"]]
    changed = {}
    for name, stage in stages.items():
        if name == "code":
            changed[name] = stage
            continue
        outs = [*map(name_of, stage["outs"]), *stage.get("metrics", [])]
        inside = {dep for dep in needed for out in outs if dep.startswith(f"{out}/")}
        files = [out if Path(out).suffix else f"{out}/made" for out in outs]
        for dep in sorted(inside):
            files += [dep.replace("${item.model}", model) for model in MODELS]
        changed[name] = {**stage, "cmd": f"{sys.executable} made.py {' '.join(files)}"}
    return changed


def dvc(folder: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    return answer.stdout + answer.stderr


def reproduce(folder: Path, *options: str) -> set[str]:
    """Bring all stages up to date; the names of those that ran."""
    return set(re.findall(r"Running stage '([^']+)'", dvc(folder, "repro", *options)))


def lay_out(folder: Path) -> Path:
    """A project with the real code, dvc.yaml and params, and two models."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "segpipe", folder / "segpipe", ignore=ignored)
    for name in (".dvcignore", "requirements-numerics.lock"):
        shutil.copy(ROOT / name, folder)
    yaml = YAML(typ="safe", pure=True)
    stages = yaml.load((ROOT / "dvc.yaml").read_text())["stages"]
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stand_in(stages)}))
    params = yaml.load((ROOT / "params.yaml").read_text())
    train = {name: params["train"][network] for name, network in MODELS.items()}
    changed = params | {"models": list(MODELS), "folds": [0], "train": train}
    (folder / "params.yaml").write_text(json.dumps(changed))
    (folder / "made.py").write_text(STAND_IN)
    (folder / "data").mkdir()
    (folder / "data" / "dataset.json").write_text("{}")
    dvc(folder, "init", "-q", "--no-scm")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages are up to date."""
    folder = lay_out(tmp_path_factory.mktemp("staleness") / "project")
    first = reproduce(folder)
    assert first >= {"code", "verify", "report", *TRAININGS}
    assert not reproduce(folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of it, whose code may be changed."""
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


Change = Callable[[Path], None]


def change(name: str, old: str, new: str) -> Change:
    """Replace a text in a source file of the project, once."""

    def act(project: Path) -> None:
        path = project / "segpipe" / name
        text = path.read_text()
        assert old in text, name
        path.write_text(text.replace(old, new, 1))

    return act


def comment_everywhere(project: Path) -> None:
    for path in (project / "segpipe").rglob("*.py"):
        path.write_text(f"{path.read_text()}\n\n# A comment.\n'''And a text.'''\n")


def add_network(project: Path) -> None:
    networks = project / "segpipe" / "networks"
    (networks / "unet4d.py").write_text((networks / "unet3d.py").read_text())
    catalogue = networks / "catalogue.py"
    line = "from segpipe.networks.unet4d import UNet3d as UNet4d\n"
    catalogue.write_text(f"{catalogue.read_text()}\n{line}")


@pytest.mark.parametrize(
    ("act", "trained", "others"),
    [
        pytest.param(comment_everywhere, set(), set(), id="a comment anywhere"),
        pytest.param(
            change(
                "networks/unet3d.py", FORWARD, FORWARD + "        logits = -logits\n"
            ),
            {"train@deep-0"},
            {"plan", "predict@deep", "report"},
            id="one network's forward pass",
        ),
        pytest.param(add_network, set(), set(), id="a new network"),
        pytest.param(
            change("training/losses.py", "def dice(", "ONE = 1\n\n\ndef dice("),
            TRAININGS,
            set(),
            id="a loss",
        ),
        pytest.param(
            change("images/dicom/series.py", "\n\n\ndef ", "\n\n\nONE = 1\n\n\ndef "),
            set(),
            set(),
            id="DICOM",
        ),
    ],
)
def test_code_makes_the_stages_stale_that_run_it(
    project: Path, act: Change, trained: set[str], others: set[str]
) -> None:
    """Constant stand-ins: what a stale stage writes anew makes no later stage stale."""
    act(project)

    assert reproduce(project) == {"code", *trained, *others}
    assert not reproduce(project)


def test_compiled_files_make_nothing_stale(project: Path) -> None:
    folder = project / "segpipe" / "__pycache__"
    folder.mkdir(exist_ok=True)
    (folder / "new.pyc").write_bytes(b"1")

    assert not reproduce(project)


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """Another machine's folder of the same commit, with the project's DVC remote."""
    remote = str(tmp_path / "remote")
    dvc(project, "remote", "add", "-q", "-d", "shared", remote)
    dvc(project, "push", "--run-cache")
    clone = lay_out(tmp_path / "clone")
    for name in ("dvc.lock", "split.lock"):
        shutil.copy(project / name, clone)
    dvc(clone, "remote", "add", "-q", "-d", "shared", remote)
    return clone


def commands_run(said: str) -> list[str]:
    """What DVC started, as it prints it."""
    return re.findall(r"^> (.*)", said, flags=re.MULTILINE)


def test_what_dvc_pull_brings_stays_valid(clone: Path) -> None:
    dvc(clone, "pull")

    assert not commands_run(dvc(clone, "repro"))


def test_what_the_run_cache_restores_stays_valid(clone: Path) -> None:
    """Only split runs, in a second: the run-cache holds no outs that are in git."""
    (clone / "dvc.lock").unlink()
    dvc(clone, "fetch", "--run-cache")

    ran = commands_run(dvc(clone, "repro", "--pull"))
    assert [words.split()[-1] for words in ran] == ["split.lock"]


def test_a_workers_clone_trains_its_one_network_and_nothing_twice(
    clone: Path, tmp_path: Path
) -> None:
    """As the flow train does: dvc repro --pull of one stage, in a clone that is new."""
    shutil.rmtree(tmp_path / "remote" / "runs")  # nobody trained it before
    yaml = YAML()
    lock = yaml.load((clone / "dvc.lock").read_text())
    del lock["stages"]["train@deep-0"]
    yaml.dump(lock, clone / "dvc.lock")

    first = commands_run(dvc(clone, "repro", "--pull", "train@deep-0"))
    assert [words.split()[-1] for words in first] == ["artifacts/train/deep/0"]
    shutil.rmtree(clone / "artifacts")
    assert not commands_run(dvc(clone, "repro", "--pull", "train@deep-0"))


def test_a_study_without_the_source_depends_on_the_pins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where segpipe is an installed package, dvc.yaml leaves its folder out."""
    document = json.loads((project / "dvc.yaml").read_text())
    document["stages"]["code"]["deps"].remove("segpipe")
    (project / "dvc.yaml").write_text(json.dumps(document))
    before = (project / "artifacts/code/train/deep.json").read_bytes()
    shutil.rmtree(project / "segpipe")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    assert reproduce(project) <= {"code"}
    assert not reproduce(project)
    assert (project / "artifacts/code/train/deep.json").read_bytes() == before
    pins = project / "requirements-numerics.lock"
    pins.write_text(pins.read_text() + "segpipe==9.9.9\n")
    assert "code" in reproduce(project)
