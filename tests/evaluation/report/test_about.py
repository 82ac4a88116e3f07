"""About: counts by side, a key for those who may know, and all figures."""

import csv
from typing import Any

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import PredictionRecord
from segpipe.dataset.split import Fold, Split
from segpipe.evaluation.report.about import build_about, build_figures, build_key
from tests.support.evaluations import make_figures

PATIENTS = {"c1": "ann", "c2": "ann", "c3": "bob", "c4": "=eve"}
SPLIT = Split(
    format_version=1,
    test=("c4",),
    folds=(
        Fold(training=("c1", "c2"), validation=("c3",)),
        Fold(training=("c3",), validation=("c1", "c2")),
    ),
)
NAMES = {"c1": "case 3", "c2": "case 1", "c3": "case 4", "c4": "case 2"}


def cases() -> CaseList:
    made = [
        Case(
            name=name,
            patient=patient,
            images=(f"imagesTr/{name}_0000.nii", f"imagesTr/{name}_0001.nii"),
            label=f"labelsTr/{name}.nii",
            instances=None,
            shape=(4, 4, 4),
            spacing=(1.0, 1.0, 1.0),
            attributes={},
            warnings=(),
        )
        for name, patient in PATIENTS.items()
    ]
    return CaseList(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing_mm=None,
        file_ending=".nii",
        channels=("x", "y"),
        labels={"background": 0, "liver": 1},
        ignore=None,
        cases=tuple(made),
    )


def facts(**given: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "name": "Livers",
        "version": "5d41.dir",
        "commit": "abc of 2026-01-02",
    }
    values["code"] = {"segpipe.version": "1.2.3", "segpipe.code": "f" * 64}
    record = PredictionRecord(
        format_version=1,
        model="m",
        folds=(0, 1),
        segmenter="0123456789abcdef",
        cases=(),
    )
    part = build_about(
        cases(), SPLIT, **{**values, **given}, predicted={"m": record}, folds=[0, 1]
    )
    assert part.table
    return {row.cells[0]: row.cells[1] for row in part.table.rows}


def test_data_commit_segmenters_and_sides_are_said() -> None:
    assert facts() == {
        "Data set": "Livers",
        "Version of the data": "MD5 5d41.dir",
        "Commit": "abc of 2026-01-02",
        "segpipe": "1.2.3, code ffffffffffff",
        "All cases": "4 cases of 3 patients",
        "Test": "1 case of 1 patient",
        "Fold 0": ("training: 2 cases of 1 patient; validation: 1 case of 1 patient"),
        "Fold 1": ("training: 1 case of 1 patient; validation: 2 cases of 1 patient"),
        "Segmenter of m": "digest 0123456789ab",
    }


def test_what_is_not_known_is_said() -> None:
    found = facts(name="", version=None, commit=None)

    assert found["Data set"] == "without a name"
    assert found["Version of the data"] == "not tracked by DVC"
    assert found["Commit"] == "not in git"


def test_the_key_names_case_patient_side_and_files_by_number() -> None:
    rows = list(csv.DictReader(build_key(cases(), SPLIT, NAMES).splitlines()))

    assert [row["number"] for row in rows] == ["case 1", "case 2", "case 3", "case 4"]
    assert rows[1] == {
        "number": "case 2",
        "case": "c4",
        "patient": "'=eve",  # no formula of a spreadsheet
        "side": "test",
        "images": "data/imagesTr/c4_0000.nii data/imagesTr/c4_0001.nii",
        "label": "data/labelsTr/c4.nii",
    }
    assert {row["case"]: row["side"] for row in rows}["c1"] == "training"


def test_all_figures_stand_by_place_and_model_without_names_of_cases() -> None:
    row = {"case": "c4", "structure": "liver", "failed": False, "dice": 0.5}
    lost = {**row, "failed": True, "dice": float("nan")}
    text = build_figures(
        {
            "a": (make_figures(0.75), {("c4", "liver"): row}),
            "b": (make_figures(0.25), {("c4", "liver"): lost}),
        },
        NAMES,
    )

    rows = {row["figure"]: row for row in csv.DictReader(text.splitlines())}
    assert (rows["test/dice_mean"]["a"], rows["test/dice_mean"]["b"]) == (
        "0.75",
        "0.25",
    )
    assert rows["structures/liver/iou_mean"]["b"] == "0.5"
    assert rows["cases/case 2/liver/dice"] == {
        "figure": "cases/case 2/liver/dice",
        "a": "0.5",
        "b": "",
    }
    assert rows["cases/case 2/liver/failed"]["b"] == "True"
    assert "test/surface_dice_mean" not in rows
    assert "c4" not in text
