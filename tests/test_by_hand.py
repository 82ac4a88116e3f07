"""A stage that is run by hand before an earlier one says so, and ends."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    split,
    weigh,
)
from tests.support.places import ROOT
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PLAN,
    PREDICT,
    PREPROCESS,
    SPLIT,
    TRAIN,
    WEIGH,
    one_thread,
    train,
)

RUN: dict[str, Callable[[Paths], object]] = {
    "split": lambda paths: split.run(SPLIT, paths=paths),
    "plan": lambda paths: plan.run(PLAN, models={"good": TRAIN}, paths=paths),
    "preprocess": lambda paths: preprocess.run(PREPROCESS, paths=paths),
    "weigh": lambda paths: weigh.run(WEIGH, paths=paths),
    "annotate": lambda paths: annotate.run(ANNOTATE, paths=paths),
    "train": lambda paths: train(paths, TRAIN, model="good"),
    "predict": lambda paths: predict.run(
        PREDICT, model="good", folds=[0], compute=one_thread(), paths=paths
    ),
    "evaluate": lambda paths: evaluate.run(EVALUATE, model="good", paths=paths),
}
DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
NEEDED = [
    (stage, dep.replace("${item.model}", "good"))
    for stage in RUN
    for dep in DVC[stage]["deps"]
    if dep.startswith("artifacts/") and not dep.startswith("artifacts/code")
]
NEEDED.remove(("evaluate", "artifacts/predict/good"))  # which counts as failed


@pytest.mark.parametrize(("stage", "lacking"), NEEDED)
def test_a_stage_without_its_input_says_what_to_run(
    stage: str, lacking: str, trained: Path, tmp_path: Path
) -> None:
    """A model that was added to params.yaml after plan was a traceback of train."""
    shutil.copytree(trained, tmp_path / "project")
    place = tmp_path / "project" / lacking
    shutil.rmtree(place) if place.is_dir() else place.unlink()

    with pytest.raises(DataError, match="run `dvc repro`"):
        RUN[stage](Paths(tmp_path / "project"))
