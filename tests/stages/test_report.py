"""The report: everything side by side, nothing from elsewhere, nobody's name."""

import base64
import csv
import io
import re
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import (
    PredictionRecord,
    prediction_record_file,
    predictions_folder,
)
from segpipe.dataset.split import read_split
from segpipe.evaluation.report.contest import ABSENT
from segpipe.evaluation.report.page import page_file
from segpipe.images.formats.files import write_label
from segpipe.images.formats.nifti import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import read_patch_plan, read_plan
from segpipe.segmenter.spec import spec_file
from segpipe.stages import evaluate, plan, report
from segpipe.training.record import (
    read_record,
    record_file,
    segmenter_folder,
    training_folder,
)
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    EVALUATE,
    JUDGED,
    PLAN,
    TRAIN,
    changed,
    run_to_split,
    write_sides,
)
from tests.support.trainings import write_training


def write_model(paths: Paths, model: str, *, shift: int) -> None:
    """A model that finds everything, some voxels beside where it is."""
    cases = read_cases(paths.artifacts)
    for name in read_split(paths.artifacts).test:
        label = read_label(paths.data / cases[name].label)
        moved = np.roll(label.array, shift, axis=1)
        file = paths.artifacts / "predict" / model / f"{name}.nii"
        write_label(file, moved, label.grid)
    folder = predictions_folder(paths.artifacts, model)
    PredictionRecord(
        format_version=1,
        model=model,
        folds=(0,),
        segmenter=f"{model}-digest-0123",
        cases=read_split(paths.artifacts).test,
    ).write(prediction_record_file(folder))
    write_training(paths, model, 0)
    made = read_plan(paths.artifacts)
    patch = read_patch_plan(paths.artifacts, model)
    spec = TRAIN.segmenter_spec(model, made, patch, None)
    folder = training_folder(paths.artifacts, model, 0)
    spec.write(spec_file(segmenter_folder(folder)))
    evaluate.run(EVALUATE, model=model, paths=paths)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_dataset(paths.data, cases=14, patients=JUDGED, instances=True)
    write_sides(paths)
    for file in (paths.data / "labelsTr").iterdir():  # drawn again, as poor as a model
        label = read_label(file)
        again = paths.data / "observers" / "rater2" / file.name
        write_label(again, np.roll(label.array, 2, axis=1), label.grid)
    run_to_split(paths)
    coarse = changed(PLAN, spacing=(2.0, 2.0, 4.0))
    plan.run(coarse, models={"good": TRAIN, "poor": TRAIN}, paths=paths)
    write_model(paths, "good", shift=0)
    write_model(paths, "poor", shift=2)
    folder = training_folder(paths.artifacts, "poor", 0)
    doubted = read_record(folder).model_copy(update={"warnings": ("nobody knows",)})
    doubted.write(record_file(folder))
    return paths


def read_page(paths: Paths, models: list[str], *, overlays: bool = True) -> str:
    params = report.ReportParams(overlays=overlays)
    report.run(params, models=models, folds=[0], paths=paths)
    return (paths.artifacts / "report" / "index.html").read_text()


def read_picture(paths: Paths) -> bytes:
    return (paths.artifacts / "report" / "report.png").read_bytes()


@pytest.fixture(scope="module")
def written(paths: Paths) -> dict[str, bytes]:
    """The files of the report of both models; drawing them takes seconds."""
    read_page(paths, ["good", "poor"])
    folder = paths.artifacts / "report"
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def both(written: dict[str, bytes]) -> tuple[str, bytes]:
    """The page and the picture."""
    return written["index.html"].decode(), written["report.png"]


@pytest.fixture(scope="module")
def page(both: tuple[str, bytes]) -> str:
    return both[0]


def test_the_page_needs_nothing_else(page: str) -> None:
    """It links to the files beside it; a browser loads neither."""
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    outer = {one for one in sources if not one.startswith(("data:image/png;", "#"))}
    assert sources
    assert outer == {"key.csv", "figures.csv"}
    assert "<script src" not in page
    for data in re.findall(r"base64,([^\"]+)", page):
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_the_model_that_is_better_by_patient_is_marked_where_it_was_tested(
    page: str,
) -> None:
    rows = re.findall(r"<tr><td>([^<]+)</td>(<td.*?)</tr>", page, re.DOTALL)
    cells = {name: row.split("</td>") for name, row in rows}
    assert 'class="best"' in cells["Dice"][0]
    assert "1.000" in cells["Dice"][0]
    assert "0.00" in cells["HD95 (mm)"][0]
    assert 0.8 < float(cells["Dice, ceiling"][0].removeprefix("<td>")) < 1
    assert page.count('class="card best"') == 1
    assert 'class="best">good' in "".join(cells["good against poor"])
    marked = [name for name, row in cells.items() if 'class="best"' in "".join(row)]
    assert marked == ["Dice", "good against poor"]
    assert re.search(r"With 7 patients a difference of 0\.\d{3} would be seen", page)


def test_what_another_person_reaches_is_the_bar(page: str) -> None:
    rows = re.findall(r"<tr><td>([^<]+)</td>(<td.*?)</tr>", page, re.DOTALL)
    cells = {name: re.findall(r">(\d[\d.]*)<", row) for name, row in rows}

    for name in ("Dice", "Dice, ball", "Dice, core"):
        assert cells[f"{name}, observer rater2"] == [cells[name][1]] * 2
    assert "Observer rater2: what this person&#39;s labels get" in page


def test_what_validation_could_not_judge_stands_beside_the_training(page: str) -> None:
    assert "Folds trained: 0. poor, fold 0: nobody knows." in page


def test_patients_and_cases_go_by_pseudonyms(page: str) -> None:
    assert "smith" not in page
    assert not re.findall(r"case_\d", page)
    assert re.search(r"Worst case: case \d\d, mean Dice 0\.\d{3}", page)


def test_overlays_can_be_left_out(paths: Paths) -> None:
    whole = read_page(paths, ["good"])
    without = read_page(paths, ["good"], overlays=False)

    assert whole.count('class="panel"') == 9
    assert 'class="panel"' not in without
    assert without.count("<img") == whole.count("<img") == 2
    assert "Worst case:" not in without
    assert not (paths.artifacts / "report" / "worst.png").exists()


def test_the_page_says_what_it_is_about(paths: Paths, page: str) -> None:
    facts = dict(re.findall(r"<tr><td>([^<]+)</td><td>([^<]+)</td></tr>", page))

    assert facts["Data set"] == "without a name"
    assert facts["Version of the data"] == "not tracked by DVC"
    assert facts["Commit"] == "not in git"
    assert re.fullmatch(rf"{version('segpipe')}, code [0-9a-f]{{12}}", facts["segpipe"])
    assert facts["All cases"] == "14 cases of 10 patients"
    assert facts["Test"] == "8 cases of 7 patients"
    assert facts["Fold 0"] == (
        "training: 4 cases of 2 patients; validation: 2 cases of 1 patient"
    )
    assert facts["Segmenter of poor"] == "digest poor-digest-"


def test_a_number_leads_to_the_case_in_a_file_of_its_own(
    paths: Paths, page: str, written: dict[str, bytes]
) -> None:
    lines = written["key.csv"].decode().splitlines()
    rows = {row["number"]: row for row in csv.DictReader(lines)}
    (number,) = re.findall(r"Worst case: (case \d\d)", page)[:1]

    cases = read_cases(paths.artifacts)
    assert len(rows) == 14
    row = rows[number]
    assert row["side"] == "test"
    assert row["patient"] == cases[row["case"]].patient
    assert (paths.root / row["images"]).is_file()
    assert (paths.root / row["label"]).is_file()


def test_all_figures_lie_beside_the_page_without_names(
    written: dict[str, bytes],
) -> None:
    text = written["figures.csv"].decode()
    rows = {row["figure"]: row for row in csv.DictReader(text.splitlines())}

    assert float(rows["test/dice_mean"]["good"]) == 1
    assert 0 < float(rows["test/dice_mean"]["poor"]) < 1
    dice = [
        float(row["poor"])
        for name, row in rows.items()
        if re.fullmatch(r"cases/case \d\d/core/dice", name)
    ]
    assert len(dice) == 8
    mean = float(rows["structures/core/dice_mean"]["poor"])
    assert sum(dice) / 8 == pytest.approx(mean, abs=1e-5)
    assert not re.search(r"case_\d|smith", text)


def test_no_file_of_the_report_but_the_key_names_a_case(
    paths: Paths, written: dict[str, bytes]
) -> None:
    """Neither do its pictures, which hold text beside the pixels."""
    cases = read_cases(paths.artifacts).cases
    names = {name.encode() for one in cases for name in (one.name, one.patient)}
    named = {file for file, all_ in written.items() if any(n in all_ for n in names)}

    assert len(names) == 24
    assert named == {"key.csv"}


def test_a_model_that_was_dropped_from_the_list_is_gone(paths: Paths) -> None:
    assert "poor" not in read_page(paths, ["good"])


def test_two_runs_write_the_same_bytes(paths: Paths, both: tuple[str, bytes]) -> None:
    again = read_page(paths, ["good", "poor"]), read_picture(paths)

    assert again == both


def test_the_picture_is_a_picture_of_a_readable_size(both: tuple[str, bytes]) -> None:
    picture = Image.open(io.BytesIO(both[1]))

    assert picture.size[0] > 1000
    assert np.asarray(picture.convert("L")).std() > 10


def test_a_model_without_figures_is_said_by_name(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"evaluate/absent/.*an earlier stage"):
        read_page(paths, ["good", "absent"])


def test_methods_without_training_stand_beside_the_models(paths: Paths) -> None:
    """The figures of the models stay what they were."""
    read_page(paths, ["good", "poor"], overlays=False)
    before = (paths.artifacts / "report" / "figures.csv").read_text().splitlines()
    params = report.ReportParams(overlays=False, baselines=("otsu", "slic"))
    report.run(params, models=["good", "poor"], folds=[0], paths=paths)
    page = page_file(paths.artifacts).read_text()
    after = (paths.artifacts / "report" / "figures.csv").read_text().splitlines()

    assert after[0] == f"{before[0]},otsu,slic"
    assert [",".join(line.split(",")[:-2]) for line in after] == before
    head = re.findall(r"<th>([^<]*)</th>", page.split("Models side by side")[1])
    assert head[:5] == ["", "good", "poor", "otsu", "slic"]
    rows = re.findall(r"<tr><td>([^<]+)</td>(<td.*?)</tr>", page, re.DOTALL)
    cells = {name: re.findall(r">([^<]*)</td>", row) for name, row in rows}
    assert cells["Dice"][2] == "1.000"  # balls are brighter than all else
    assert cells["Dice, ceiling"][2:] == [ABSENT] * 2
    assert cells["CPU seconds a case"][:2] == [ABSENT] * 2
    assert float(cells["CPU seconds a case"][3]) >= 0
    pairs = [name for name in rows_of(page) if " against " in name]
    assert pairs == [
        "good against poor",
        "good against otsu",
        "good against slic",
        "poor against otsu",
        "poor against slic",
    ]


def rows_of(page: str) -> list[str]:
    """The names of all rows of the page."""
    return re.findall(r"<tr><td>([^<]+)</td>", page)


def test_a_model_with_the_name_of_a_baseline_is_refused(paths: Paths) -> None:
    params = report.ReportParams(overlays=False, baselines=("otsu",))

    with pytest.raises(DataError, match=r"expected names other .* found otsu"):
        report.run(params, models=["good", "otsu"], folds=[0], paths=paths)
