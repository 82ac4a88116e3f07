"""A study works from an installed wheel, with nothing of the checkout in reach."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.phantoms import write_dataset
from tests.support.places import ROOT
from tests.support.projects import PATIENTS

pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {
    "base_channels": 2,
    "patch_size": [16, 16, 1],
    "batch_size": 1,
    "epochs": 1,
    "steps_per_epoch": 2,
    "validation_interval": 1,
}


def copied() -> list[str]:
    """The files and folders that the Dockerfile copies."""
    lines = re.findall(r"^COPY (.*) /source/", (ROOT / "Dockerfile").read_text(), re.M)
    return [name for line in lines for name in line.split()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an sdist, and of the wheel that was built from it.

    The source is what the Dockerfile copies, so that this is enough.
    """
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    unwanted = shutil.ignore_patterns("__pycache__", "tmp", "cache", "*.local")
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, source / name)
    run(source, sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist))
    return dist


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with the packages of this one beside it.

    The .pth files of this environment, of which one may lead to the checkout, do not
    count there.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    own = Path(sysconfig.get_paths()["purelib"]).relative_to(sys.prefix)
    (folder / own / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (wheel,) = built.glob("*.whl")
    words = ["install", "--quiet", "--no-deps", "--ignore-installed", str(wheel)]
    python = str(folder / "bin" / "python")
    run(built, sys.executable, "-m", "pip", "--python", python, *words)
    return folder


def run(folder: Path, *words: str, installed: Path | None = None) -> str:
    """A command's output; with an environment, its programs come first."""
    places = [str(installed / "bin")] if installed else []
    places += [str(Path(sys.executable).parent), os.environ["PATH"]]
    unwanted = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "PREFECT_API_URL")
    who = {
        f"GIT_{who}_{what}": "a@b"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    kept = {name: text for name, text in os.environ.items() if name not in unwanted}
    answer = subprocess.run(
        words,
        cwd=folder,
        env={
            **kept,
            **who,
            "PATH": os.pathsep.join(places),
            "DVC_NO_ANALYTICS": "1",
            "PREFECT_HOME": str(folder / ".cache" / "prefect"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    return answer.stdout + answer.stderr


def reduce_params(study: Path) -> None:
    """The preset that was written, for a training of two steps."""
    yaml = YAML(pure=True)
    document: dict[str, Any] = yaml.load(study / "params.yaml")
    document["compute"] |= {"device": "cpu", "precision": "fp32", "threads": 1}
    document["split"] = {"seed": 2, "test_fraction": 0.4, "n_folds": 2}
    document["train"]["unet2d"] |= SMALL
    for stage in ("verify", "plan", "preprocess", "weigh", "evaluate"):
        document[stage]["workers"] = 1
    yaml.dump(document, study / "params.yaml")


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def test_a_study_works_from_the_wheel_and_its_readme_is_true(
    installed: Path, tmp_path: Path
) -> None:
    """The lines of README.md, word for word, with less data and two steps."""

    def type_in(*words: str) -> str:
        return run(study, *words, installed=installed)

    study = tmp_path / "cells"
    run(tmp_path, "segpipe", "init", "cells", installed=installed)
    where = "import segpipe, flows; print(segpipe.__path__[0], flows.__path__[0])"
    for package in type_in("python", "-c", where).split():
        assert Path(package).is_relative_to(installed)
    places = type_in("python", "-c", "import sys; print(*sys.path, sep='\\n')")
    assert str(ROOT) not in places.splitlines()

    block = (study / "README.md").read_text().split("```")[1]
    lines = [line.split("  ")[0].split() for line in block.splitlines()[1:]]
    said = {}
    for words in lines:
        said[words[-1]] = type_in(*words)
        if "phantom" in words:
            shutil.rmtree(study / "data")
            write_dataset(study / "data", cases=10, patients=PATIENTS)
        if "preset" in words:
            reduce_params(study)
    assert stages_run(said["repro"])[0] == "code"
    assert stages_run(said["repro"])[-1] == "report"
    assert "recorded" in said["record"]
    assert "unet2d" in said["results"]
    assert (study / "artifacts/report/index.html").is_file()
    assert not (study / "segpipe").exists()
    assert run(study, "git", "status", "--short").split() == [
        *("??", "dvc.lock"),
        *("??", "split.lock"),
    ]

    assert stages_run(type_in("dvc", "repro")) == ["code"]
    assert "nothing becomes stale" in type_in("segpipe", "upgrade")
    flow = type_in("python", "-m", "flows.reproduce")
    assert stages_run(flow) == ["code"]
    assert "all stages are up to date" in flow

    page = "lib/*/site-packages/segpipe/evaluation/report/page.py"
    (module,) = installed.glob(page)
    module.write_text(module.read_text() + "\n\nNEWER = True\n")
    asked = type_in("segpipe", "upgrade").splitlines()
    assert asked[1:3] == ["changed: segpipe.evaluation.report.page", "stale:   report"]
    assert stages_run(type_in("dvc", "repro")) == ["code", "report"]
    tags = json.loads(type_in("python", "-c", TAGS))
    assert tags["segpipe.version"] == "0.1.0"
    assert len(tags["segpipe.code"]) == 64
    assert tags["experiment"] == "cells"


TAGS = """
import json
from pathlib import Path
from segpipe.project.paths import Paths
from segpipe.registry.store import connect
client, experiment = connect(Paths(Path()))
run = client.search_runs([experiment])[0]
name = client.get_experiment(experiment).name
print(json.dumps({**run.data.tags, "experiment": name}))
"""


def test_a_wheel_has_each_file_of_a_study(built: Path, installed: Path) -> None:
    """And no test, experiment or document."""
    package = next(installed.glob("lib/*/site-packages/segpipe/shipped"))
    shipped = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file()
    }
    tops = {path.name for path in package.parents[1].iterdir()}

    assert set(shipped) >= {"dvc.yaml", "prefect.yaml", "presets/quick.yaml"}
    assert shipped == {name: (ROOT / name).read_bytes() for name in shipped}
    assert not tops & {"tests", "docs", "experiments", "benchmarks", "presets"}
    assert len(list(built.glob("*.tar.gz"))) == 1


def test_docker_gets_what_the_dockerfile_copies_and_nothing_else() -> None:
    """Whether the image builds is not tested: that needs a Docker daemon."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]

    assert lines[1] == "*"
    assert {name.split("/")[0] if "/" in name else name for name in let_in} == set(
        copied()
    )
    assert all((ROOT / name).exists() for name in let_in)
