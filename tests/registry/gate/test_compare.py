"""The champion on what neither trained on, and nothing twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.dataset.case import read_cases
from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.project.documents import write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.gate.compare import (
    choose_model,
    compare_with_champion,
    comparison_file,
)
from segpipe.registry.gate.comparison import Comparison, Rule
from segpipe.registry.mlflow_model.provenance import FILE, Provenance, patient_digest
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.stages import evaluate
from segpipe.training.record import read_record, record_file
from tests.support.projects import EVALUATE, one_thread
from tests.support.registered import write_lock
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def paths(trained: Path, tmp_path: Path) -> Paths:
    shutil.copytree(trained, tmp_path / "project")
    return Paths(tmp_path / "project")


def champion_of(paths: Paths, model: str, *, knows: tuple[str, ...] = ()) -> Path:
    """As a registry gives it back: folds and provenance somewhere in a folder."""
    folder = paths.root / "fetched"
    fold = folder / "artifacts" / "0"
    shutil.copytree(paths.artifacts / "train" / model / "0" / "segmenter", fold)
    return provenance(folder, segmenter_digest(fold), knows)


def provenance(folder: Path, digest: str, knows: tuple[str, ...] = ()) -> Path:
    Provenance(
        format_version=1,
        model="m",
        digest=digest,
        patients=tuple(sorted(map(patient_digest, knows))),
        data=None,
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
    ).write(folder / "artifacts" / FILE)
    return folder


def compare(
    paths: Paths, model: str, champion: Path, *, sealed: bool = True, **values: Any
) -> Comparison:
    rule = Rule(**values)
    return compare_with_champion(
        model,
        champion,
        champion_name="seg/1",
        sealed=sealed,
        rule=rule,
        compute=one_thread(),
        paths=paths,
    )


def patients_to_test(paths: Paths) -> list[str]:
    cases = read_cases(paths.artifacts)
    return [cases[name].patient for name in read_split(paths.artifacts).test]


def test_a_better_candidate_passes_and_a_worse_one_does_not(paths: Paths) -> None:
    better = compare(paths, "good", champion_of(paths, "poor"))
    shutil.rmtree(paths.root / "fetched")
    worse = compare(paths, "poor", champion_of(paths, "good"))

    assert better.accepted, better.reasons
    assert not worse.accepted
    assert better.overall.difference == pytest.approx(-(worse.overall.difference or 0))
    assert set(better.cases) == set(read_split(paths.artifacts).test)


def test_a_patient_that_the_champion_trained_on_is_left_out(paths: Paths) -> None:
    known = patients_to_test(paths)[0]
    found = compare(paths, "good", champion_of(paths, "poor", knows=(known,)))

    cases = read_cases(paths.artifacts)
    assert found.left_out
    for name in read_split(paths.artifacts).test:
        assert (cases[name].patient == known) == (name in found.left_out)
        assert (name in found.cases) != (name in found.left_out)
    assert set(found.left_out.values()) == {"the champion knows the patient"}


def test_a_patient_that_the_candidate_trained_on_is_left_out(paths: Paths) -> None:
    """Split forbids it; whoever writes split.json by hand is caught here."""
    cases, split = read_cases(paths.artifacts), read_split(paths.artifacts)
    learnt = cases[split.folds[0].training[0]].patient
    name = split.test[0]
    moved = tuple(
        case.model_copy(update={"patient": learnt}) if case.name == name else case
        for case in cases.cases
    )
    changed_cases = cases.model_copy(update={"cases": moved})
    changed_cases.write(paths.artifacts / "verify" / "cases.json")
    found = compare(paths, "good", champion_of(paths, "poor"))

    assert found.left_out == {name: "the candidate knows the patient"}


def test_a_champion_that_knows_everybody_cannot_be_judged(paths: Paths) -> None:
    champion = champion_of(paths, "poor", knows=tuple(patients_to_test(paths)))
    found = compare(paths, "good", champion)

    assert not found.accepted
    assert found.reasons[0].startswith("Only 0 patients")
    assert not list((paths.cache / "comparison").glob("*/"))


def test_a_second_comparison_segments_nothing(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = champion_of(paths, "poor")
    first = compare(paths, "good", champion)
    written = comparison_file(first, paths)
    content = written.read_bytes()

    def refused(*_: object) -> None:
        raise AssertionError("segmented again")

    monkeypatch.setattr(Segmenter, "segment", refused)
    second = compare(paths, "good", champion)

    assert second == first
    assert written.read_bytes() == content
    assert written.with_suffix(".png").is_file()
    folders = {path.name for path in (paths.cache / "comparison").iterdir()}
    assert not [name for name in folders if name.startswith(".")]


def test_the_same_segmenter_is_nothing_new(paths: Paths) -> None:
    found = compare(paths, "good", champion_of(paths, "good"))

    assert found.reasons == ("Nothing new: good is the same segmenter as seg/1.",)
    assert not found.accepted
    assert not list((paths.cache / "comparison").glob("*/"))


def test_other_structures_and_channels_cannot_be_compared(paths: Paths) -> None:
    folder = paths.root / "fetched"
    fold = save_segmenter(folder / "artifacts" / "0", make_plan(channels=("CT",)))
    found = compare(paths, "good", provenance(folder, segmenter_digest(fold)))

    assert len(found.reasons) == 2
    assert found.reasons[0].startswith("Not comparable: the data's structures are {'b")
    assert "champion's {'background': 0, 'liver': 3" in found.reasons[0]
    assert "channels" in found.reasons[1]


def test_a_missed_structure_of_the_candidate_is_a_new_failure(paths: Paths) -> None:
    champion = champion_of(paths, "good")
    name = read_split(paths.artifacts).test[0]
    file = paths.artifacts / "predict" / "poor" / f"{name}.nii"
    label = read_label(paths.data / "labelsTr" / f"{name}.nii")
    write_label(file, np.zeros_like(label.array), label.grid)
    evaluate.run(EVALUATE, model="poor", paths=paths)
    found = compare(paths, "poor", champion)

    assert name in {pair.case for pair in found.new_failures}
    assert any(reason.startswith("The candidate fails") for reason in found.reasons)


def test_the_provenance_of_another_segmenter_is_refused(paths: Paths) -> None:
    champion = champion_of(paths, "poor")
    provenance(champion, "0" * 64)

    with pytest.raises(DataError, match="expected the provenance of the segmenter"):
        compare(paths, "good", champion)


def test_a_champion_that_no_registry_vouches_for_is_said_in_every_report(
    paths: Paths,
) -> None:
    """An empty list of patients, say, lets it be measured on those that it knows."""
    champion = champion_of(paths, "poor")
    vouched = compare(paths, "good", champion)
    found = compare(paths, "good", champion, sealed=False)

    (doubt,) = found.doubts
    assert doubt.startswith("Not sealed: no registry vouches for the provenance.json ")
    assert doubt in found.lines()
    assert f"- {doubt}\n" in found.markdown()
    assert Comparison.read(comparison_file(found, paths)) == found
    assert vouched == found.model_copy(update={"doubts": ()})


def test_artifacts_of_several_makings_are_refused(paths: Paths) -> None:
    champion = champion_of(paths, "poor")
    record = paths.artifacts / "predict" / "good" / "predictions.json"
    document = json.loads(record.read_text())
    write_json(record, {**document, "segmenter": "0"})
    with pytest.raises(DataError, match=r"those of another training; run `dvc repro`"):
        compare(paths, "good", champion)

    split = paths.artifacts / "split" / "split.json"
    write_text(split, split.read_text() + "\n")
    with pytest.raises(DataError, match="may have held test patients"):
        compare(paths, "good", champion)
    with pytest.raises(DataError, match="expected other among them, found poor, good"):
        compare(paths, "other", champion)


def test_figures_that_were_changed_by_hand_are_refused(paths: Paths) -> None:
    champion = champion_of(paths, "poor")
    rows = paths.artifacts / "evaluate" / "good" / "cases.csv"
    write_lock(paths, rows)
    assert compare(paths, "good", champion).accepted
    rows.write_text(rows.read_text().replace(",0.", ",0.9"))

    with pytest.raises(
        DataError, match=r"cases\.csv: expected the file that its stage"
    ):
        compare(paths, "good", champion)


def test_the_candidate_is_the_best_on_validation_cases_and_the_first_of_equals(
    paths: Paths,
) -> None:
    chosen, words, figures = choose_model(paths)
    folder = paths.artifacts / "train"
    assert words == "Dice"
    assert chosen == "good"
    assert figures["good"] > figures["poor"]

    text = "epoch,validation_dice\n1,0.25\n2,\n3,0.5\n4,0.375\n"
    for kept, dice in ((3, 0.5), (4, 0.375), (2, 0.0), (None, 0.5)):  # None: older
        for model in ("poor", "good"):
            write_text(folder / model / "0" / "history.csv", text)
            record = read_record(folder / model / "0")
            changes = {"kept_epoch": kept}
            record.model_copy(update=changes).write(record_file(folder / model / "0"))
        same = {"poor": dice, "good": dice}
        assert choose_model(paths) == ("poor", "Dice", same)

    for model, precision in (("poor", 0.25), ("good", 0.5)):
        text = f"epoch,validation_dice,validation_instance_ap\n1,0.5,{precision}\n"
        write_text(folder / model / "0" / "history.csv", text)
    of_instances = {"poor": 0.25, "good": 0.5}
    assert choose_model(paths) == ("good", "AP of instances", of_instances)

    (folder / "good" / "0" / "history.csv").unlink()
    with pytest.raises(DataError, match="expected a finished training"):
        choose_model(paths)


@pytest.mark.parametrize(
    ("model", "other", "code", "verdict"),
    [
        ("good", "poor", 0, "good against fetched: not worse: accepted"),
        ("poor", "good", 1, "poor against fetched: not accepted"),
    ],
)
def test_the_command_ends_by_the_verdict(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    other: str,
    code: int,
    verdict: str,
) -> None:
    champion_of(paths, other)
    monkeypatch.chdir(paths.root)
    words = ["compare", model, "fetched"]
    result = CliRunner().invoke(app, words)

    assert result.exit_code == code
    assert verdict in result.output
    assert "Not sealed: no registry vouches for" in result.output
