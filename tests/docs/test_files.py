"""The page of files names each file that a stage writes, and no other."""

import re
import shutil
from pathlib import Path

from segpipe.project.paths import Paths
from segpipe.stages import code, report
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"CASE|MODEL|FOLD|STAGE|ENDING")
UNUSED = {  # by the small project: no drawn instances, and no coarse resolution
    "artifacts/train/MODEL/FOLD/segmenter/coarse-0.safetensors",
    "artifacts/train/MODEL/FOLD/coarse_history.csv",
    "artifacts/preprocess/CASE/instances.npy",
    "artifacts/predict/MODEL/instances/CASE.ENDING",
    "artifacts/weigh/CASE/separation-2d.npy",
    "artifacts/weigh/CASE/separation-3d.npy",
    "artifacts/weigh/CASE/known/separation-2d.npy",
    "artifacts/weigh/CASE/known/separation-3d.npy",
    "artifacts/weigh/CASE/levels-2d.npy",
    "artifacts/weigh/CASE/levels-3d.npy",
    "artifacts/weigh/CASE/known/levels-2d.npy",
    "artifacts/weigh/CASE/known/levels-3d.npy",
    "artifacts/weigh/separation-2d.json",
    "artifacts/weigh/separation-3d.json",
}


def names_on_page() -> set[str]:
    """The files of the stages; one without a folder lies beside the one before."""
    found, folder = set(), ""
    stages = PAGE.split("## What segment writes")[0]
    for row in re.findall(r"^\| (`[^|]*) \|", stages, re.M):
        for name in re.findall(r"`([^`]+)`", row):
            folder = name.rpartition("/")[0] or folder
            found.add(name if "/" in name else f"{folder}/{name}")
    return found


def test_the_page_has_each_file_that_a_stage_writes_and_no_other(
    trained: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    shutil.copy(ROOT / "requirements-numerics.lock", root)
    models = ["poor", "good"]
    code.run(networks=dict.fromkeys(models, "unet3d"), paths=Paths(root))
    report.run(
        report.ReportParams(overlays=True), models=models, folds=[0], paths=Paths(root)
    )
    written = {
        path.relative_to(root).as_posix()
        for path in (root / "artifacts").rglob("*")
        if path.is_file()
    }

    patterns = {
        name: re.compile(VARIABLE.sub("[^/]+", re.escape(name)))
        for name in names_on_page()
    }
    unnamed = {
        file
        for file in written
        if not any(pattern.fullmatch(file) for pattern in patterns.values())
    }
    unwritten = {
        name
        for name, pattern in patterns.items()
        if not any(pattern.fullmatch(file) for file in written)
    }
    assert not unnamed
    assert unwritten == UNUSED
