"""Corrections reach data/ once they are accepted, and never poison the gate."""

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case_instances, read_case_label
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.review.corrections.apply import apply, describe_filed
from segpipe.review.corrections.draft import begin
from segpipe.review.corrections.runs import Run
from segpipe.review.corrections.store import list_filed, sign_correction
from segpipe.review.corrections.target import Purpose
from segpipe.stages import evaluate
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.corrected import (
    digest_of,
    first,
    item_of,
    judged_case,
    trained_on,
    write_project,
    write_review,
)
from tests.support.places import ROOT
from tests.support.projects import EVALUATE, TRAIN, run_to_annotate
from tests.support.reviews import password_of, write_people


def correct(
    paths: Paths, case: str, *, purpose: Purpose = "reference", value: int = 1
) -> int:
    """Draw a block of voxels and sign it; returns the number of the record."""
    volume = write_review(paths, case)
    draft = begin(volume, item_of(volume), first(volume, purpose=purpose), paths)
    _, j, k = draft.grid.shape
    runs: list[Run] = [
        (a * j * k + b * k, k, value) for a in range(4) for b in range(4)
    ]
    after = draft.finish(draft.draw(runs))
    secret = password_of("rob")
    return sign_correction(draft, after, "", "rob", secret, paths.root).number


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = write_project(tmp_path_factory.mktemp("apply"))
    write_people(paths.root)
    return paths


@pytest.fixture
def paths(made: Paths, tmp_path: Path) -> Paths:
    shutil.copytree(made.root, tmp_path / "project")
    return Paths(tmp_path / "project")


def test_an_accepted_reference_is_byte_by_byte_what_was_signed(paths: Paths) -> None:
    case = judged_case(paths)
    number = correct(paths, case)
    old = digest_file(paths.data / f"labelsTr/{case}.nii")
    (line,) = describe_filed(paths)
    assert f"record {number}: {case}, reference, by Dr Rob" in line
    assert line.endswith("waits")
    (said,) = apply([number], paths)

    assert said == f"{case}: correction for the reference, version 2, by Dr Rob"
    (filed,) = list_filed(paths)
    assert digest_file(paths.data / f"labelsTr/{case}.nii") == filed.content.after
    (row,) = read_ledger(paths.data)
    assert row.file == f"reviews/records/{number:06d}.json"
    assert old in row.dropped[0]
    assert describe_filed(paths)[0].endswith("in data/")
    second = correct(paths, case, value=3)
    assert "version 3" in apply([second], paths)[0]


def test_what_is_not_the_signed_mask_of_today_is_refused(paths: Paths) -> None:
    case = judged_case(paths)
    one, two = correct(paths, case), correct(paths, case, value=3)
    before = digest_file(paths.data / f"labelsTr/{case}.nii")

    with pytest.raises(DataError, match="expected one of the corrections"):
        apply([1], paths)
    with pytest.raises(DataError, match="expected one correction a case"):
        apply([one, two], paths)
    filed = list_filed(paths)
    filed[1].mask.write_bytes(filed[0].mask.read_bytes())
    with pytest.raises(DataError, match="put a backup back"):
        apply([two], paths)
    shutil.rmtree(filed[1].folder)
    with pytest.raises(DataError, match="copy the folder"):
        apply([two], paths)
    assert digest_file(paths.data / f"labelsTr/{case}.nii") == before
    apply([one], paths)
    with pytest.raises(DataError, match="was replaced since"):
        apply([one], paths)


def test_a_case_that_changed_sides_is_not_applied(paths: Paths) -> None:
    """What was corrected for training is tested now: it would be no blind reference."""
    case = trained_on(paths)
    number = correct(paths, case, purpose="training")
    split = paths.artifacts / "split" / "split.json"
    document = json.loads(split.read_text())
    document["test"].append(case)
    split.write_text(json.dumps(document))

    with pytest.raises(DataError, match="changed sides"):
        apply([number], paths)


def test_instances_follow_a_new_reference(tmp_path: Path) -> None:
    paths = write_project(tmp_path, dimensions=2, instances=True)
    write_people(paths.root)
    case = judged_case(paths)
    apply([correct(paths, case)], paths)

    cases = read_cases(paths.artifacts)
    label = read_case_label(paths.data, cases, cases[case]).array
    ids = read_case_instances(paths.data, cases, cases[case])
    assert ids is not None
    assert ((ids.array > 0) == (label > 0)).all()
    assert sorted({*ids.array.ravel().tolist()}) == [0, 1, 2]
    assert label[:4, :4].all()


def inputs_of_training(paths: Paths) -> dict[str, bytes]:
    """Every byte that dvc.yaml says a training depends on, but for the code."""
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = [one.replace("${item.model}", "m") for one in stages["train"]["deps"]]
    places = [paths.root / one for one in deps if "artifacts/code" not in one]
    files = [
        file
        for place in places
        for file in ([place] if place.is_file() else sorted(place.rglob("*")))
        if file.is_file()
    ]
    assert len(files) > 20
    return {
        file.relative_to(paths.root).as_posix(): file.read_bytes() for file in files
    }


def test_a_corrected_test_case_changes_both_evaluations_and_no_training(
    trained: Path, tmp_path: Path
) -> None:
    """What a training reads stays byte by byte; a corrected other case does change it.

    So the gate can be moved by a reference only for both models alike.
    """
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    paths = Paths(root)
    write_people(root)
    models = {"m": TRAIN}
    metrics = {
        model: paths.artifacts / "evaluate" / model / "metrics.json"
        for model in ("poor", "good")
    }

    def state() -> tuple[dict[str, bytes], dict[str, bytes]]:
        run_to_annotate(paths, models)
        for model in metrics:
            evaluate.run(EVALUATE, model=model, paths=paths)
        return inputs_of_training(paths), {
            model: file.read_bytes() for model, file in metrics.items()
        }

    inputs, figures = state()
    case = judged_case(paths)
    apply([correct(paths, case)], paths)
    inputs_after, figures_after = state()
    other = trained_on(paths)
    apply([correct(paths, other, purpose="training")], paths)
    inputs_trained, figures_trained = state()

    assert inputs_after == inputs
    assert all(figures_after[model] != figures[model] for model in metrics)
    assert {name for name in inputs if inputs_trained[name] != inputs[name]} >= {
        f"artifacts/preprocess/{other}/label.npy"
    }
    assert figures_trained == figures_after
    assert digest_of(write_review(paths, case), "B")
