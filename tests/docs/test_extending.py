"""The page on extending segpipe is followed as written, with the toys that it shows."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^([^\n]*)\n\n```(python|diff)\n(.*?)^```$", re.M | re.S)
LEAD = re.compile(r"(New file|[Cc]hange|Add to) `([\w/.]+)`")
CHANGED: dict[str, dict[str, Any]] = {  # small, and without processes
    "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
    "verify": {"workers": 1},
    "split": {"seed": 2, "test_fraction": 0.4, "n_folds": 2},
    "plan": {"memory_gb": 1, "workers": 1},
    "preprocess": {"workers": 1},
    "weigh": {"workers": 1},
    "evaluate": {"workers": 1},
}
TOY = {
    "network": "plain",
    "base_channels": 2,
    "patch_size": [16, 16, 8],
    "batch_size": 1,
    "epochs": 1,
    "steps_per_epoch": 2,
}


def steps() -> list[tuple[str, str, str]]:
    """What the page says to do, where, and the block."""
    found = []
    for lead, language, block in BLOCK.findall(PAGE):
        match = LEAD.search(lead)
        assert match is not None, f"no file is named before: {block[:60]}"
        verb, path = match.groups()
        assert (language == "diff") == (verb.lower() == "change"), lead
        found.append((verb, path, block))
    return found


def apply(root: Path, verb: str, path: str, block: str) -> None:
    """Do one step of the page in a copy of the project."""
    file = root / path
    if verb == "New file":
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    if verb == "Add to":
        text = f"{text}\n\n{block}"
    else:
        for hunk in block.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
            count = f"\n{text}".count(f"\n{old}")  # whole lines
            assert count == 1, f"{path} has these lines {count} times:\n{old}"
            text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def run(root: Path, *words: str) -> str:
    """A command in the copy, by the copy's code."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        words, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all toys, and a small model trained and measured."""
    root = tmp_path_factory.mktemp("extended")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("segpipe", "tests", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=unwanted)
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    shutil.copy(ROOT / "requirements-numerics.lock", root)
    for step in steps():
        apply(root, *step)
    write_params(root / "params.yaml")
    run(root, sys.executable, "-c", "from tests.docs.test_extending import use; use()")
    return root


def write_params(path: Path) -> None:
    """Reduce params.yaml to one small model: the toy network with the toy loss."""
    yaml = YAML(pure=True)
    document: dict[str, Any] = yaml.load(path)
    for section, values in CHANGED.items():
        document[section] |= values
    model = document["train"]["unet3d"] | TOY
    model["loss"]["name"] = "tversky"
    document |= {"models": ["toy"], "train": {"toy": model}}
    yaml.dump(document, path)


def use() -> None:
    """In the copy: all stages up to evaluate, and an import of the toy format."""
    from segpipe.__main__ import app
    from segpipe.cli.project import HERE, read_compute, read_train_params
    from segpipe.stages import train
    from segpipe.training import losses
    from tests.support.phantoms import write_dataset
    from tests.support.projects import PATIENTS

    def command(*words: str) -> None:
        app(words, standalone_mode=False)

    write_dataset(HERE.data, cases=10, patients=PATIENTS)
    for stage in ("code", "verify", "split", "plan", "preprocess", "annotate", "weigh"):
        command(stage)
    train.run(  # without MLflow, which the command would start
        read_train_params("toy"),
        model="toy",
        fold=0,
        compute=read_compute(),
        paths=HERE,
    )
    for stage in ("predict", "evaluate"):
        command(stage, "--model", "toy")
    for case in sorted((HERE.data / "labelsTr").iterdir()):
        for folder, stem in (("images", f"{case.stem}_0000"), ("labels", case.stem)):
            file = nibabel.load(HERE.data / f"{folder}Tr" / f"{stem}.nii")
            array = np.asarray(file.dataobj).astype(np.int32)
            goal = Path("mgh") / folder / f"{case.stem}.mgz"
            goal.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.freesurfer.MGHImage(array, file.affine), goal)
    command("import", "mgh", "imported", "--images", "images", "--labels", "labels")
    test = runpy.run_path("tests/stages/test_census.py")
    test["test_every_case_is_counted_on_its_side"](Path("tested"))
    reference = torch.tensor([0, 1, 1, 0]).reshape(1, 1, 2, 2)
    right = torch.stack([1 - 2 * reference, 2 * reference - 1], 1) * 50.0
    weight = torch.ones(1, 1, 2, 2)
    found = [losses.__dict__["tversky"](x, reference, weight) for x in (right, -right)]
    Path("losses.txt").write_text(f"{float(found[0])} {float(found[1])}")


def test_the_toys_keep_to_the_style(extended: Path) -> None:
    files = sorted({path for _, path, _ in steps() if path.endswith(".py")})

    run(extended, "ruff", "check", "--no-cache", *files)
    run(extended, "ruff", "format", "--no-cache", "--check", *files)


def test_the_toy_network_trains_two_steps_and_predicts(extended: Path) -> None:
    folder = extended / "artifacts" / "train" / "toy" / "0"
    spec = YAML(typ="safe").load(folder / "segmenter" / "spec.json")
    history = (folder / "history.csv").read_text().splitlines()

    assert spec["network"]["name"] == "plain"
    assert len(history) == 2
    assert history[1].startswith("1,2,")
    assert list((extended / "artifacts" / "predict" / "toy").glob("*.nii"))


def test_the_toy_loss_is_the_one_that_was_lowered(extended: Path) -> None:
    folder = extended / "artifacts" / "train" / "toy" / "0"
    made_from = YAML(typ="safe").load(folder / "fingerprint.json")
    row = (folder / "history.csv").read_text().splitlines()[1].split(",")

    assert made_from["params"]["loss"]["name"] == "tversky"
    assert 0 < float(row[2]) < 1


def test_the_toy_loss_of_a_right_and_of_a_wrong_answer(extended: Path) -> None:
    """By its formula: 0 where all is right, 1 where all is missed."""
    right, wrong = (extended / "losses.txt").read_text().split()

    assert float(right) == pytest.approx(0, abs=1e-6)
    assert float(wrong) == pytest.approx(1, abs=1e-6)


def test_the_toy_metric_stands_among_the_figures(extended: Path) -> None:
    folder = extended / "artifacts" / "evaluate" / "toy"
    figures = YAML(typ="safe").load(folder / "metrics.json")

    assert 0 <= figures["test"]["volume_similarity_mean"] <= 1
    assert "volume_similarity" in (folder / "cases.csv").read_text().split("\n")[0]


def test_the_toy_format_is_imported_with_the_same_voxels(extended: Path) -> None:
    name = "case_03"
    pairs = {f"labelsTr/{name}.nii": f"labelsTr/{name}.nii.gz"}
    pairs[f"imagesTr/{name}_0000.nii"] = f"imagesTr/{name}_0000.nii.gz"
    for old, new in pairs.items():
        before = nibabel.load(extended / "data" / old)
        after = nibabel.load(extended / "imported" / new)

        assert np.array_equal(before.get_fdata(), after.get_fdata())
        assert np.allclose(before.affine, after.affine, atol=1e-4)


def test_the_toy_stage_runs_as_a_step_of_dvc(extended: Path) -> None:
    run(extended, "dvc", "init", "--no-scm", "--quiet")
    run(extended, "dvc", "repro", "--single-item", "census")

    document = YAML(typ="safe").load(extended / "artifacts" / "census" / "census.json")
    assert set(document["rest"]) == {"north", "south"}
