"""Structures that overlap (regions of nnU-Net) go through every stage and output."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case, read_case_label, read_prediction
from segpipe.dataset.split import read_split
from segpipe.evaluation.ceiling import find_ceilings
from segpipe.evaluation.figures import read_figures
from segpipe.evaluation.report.pictures.planes import REFERENCE
from segpipe.evaluation.report.pictures.views import build_exhibit
from segpipe.images.dicom.series import find_series, read_series
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.stages import evaluate, plan, predict, report
from segpipe.training.record import segmenter_folder
from tests.support.dicoms import write_series
from tests.support.phantoms import TUMOUR, write_tumours
from tests.support.projects import (
    EVALUATE,
    PATIENTS,
    PLAN,
    PREDICT,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    run_to_split,
    train,
    with_loss,
)
from tests.support.segmentations import PLAIN, run

MEMBERS = {"whole tumour": (1, 2, 4), "core": (2, 4), "enhancing": (4,)}
PARAMS = changed(
    TRAIN,
    border_weights=False,
    sparse_annotation=False,
    class_weights="none",
    base_channels=4,
    epochs=1,
    steps_per_epoch=30,
    loss=with_loss("dice_cross_entropy"),
    calibrate=True,
    postprocessing="auto",
)


@dataclass(frozen=True)
class Project:
    """A project of nested structures, trained, predicted and evaluated."""

    paths: Paths
    folder: Path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_tumours(paths.data, patients=PATIENTS)
    run_to_annotate(paths, {"m": PARAMS})
    folder = train(paths, PARAMS, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    return Project(paths, segmenter_folder(folder))


def test_the_figures_of_a_structure_are_those_of_its_union(project: Project) -> None:
    """Dice is computed again from the label files, by the sets of values."""
    artifacts, data = project.paths.artifacts, project.paths.data
    cases = read_cases(artifacts)
    expected: dict[str, list[float]] = {name: [] for name in MEMBERS}
    for case in read_split(artifacts).test:
        reference = read_case_label(data, cases, cases[case]).array
        predicted = read_prediction(artifacts, "m", cases, case)
        assert predicted is not None
        assert set(np.unique(predicted.array)) <= {0, 1, 2, 4}
        for name, values in MEMBERS.items():
            one, other = np.isin(reference, values), np.isin(predicted.array, values)
            expected[name].append(2 * (one & other).sum() / (one.sum() + other.sum()))

    figures = read_figures(artifacts, "m")
    assert list(figures.structures) == list(MEMBERS)
    for name, scores in expected.items():
        assert figures.structures[name]["dice_mean"] == pytest.approx(np.mean(scores))
        assert np.mean(scores) > 0.5, name
    with (artifacts / "evaluate/m/confusion.csv").open() as file:
        names = [row["reference"] for row in csv.DictReader(file)]
    assert names == ["background", "1", "2", "4"]


def test_its_own_label_maps_are_kept_by_all_that_a_prediction_meets(
    project: Project,
) -> None:
    spec = Segmenter.load(project.folder).spec

    found = find_ceilings({"m": spec}, instance_iou=0.5, paths=project.paths)["m"]

    assert found.structures == dict.fromkeys(MEMBERS, 1.0)


def test_the_report_shows_every_structure(project: Project) -> None:
    report.run(
        report.ReportParams(overlays=True), models=["m"], folds=[0], paths=project.paths
    )

    page = next((project.paths.artifacts / "report").glob("*.html")).read_text()
    assert all(name in page for name in MEMBERS)
    cases = read_cases(project.paths.artifacts)
    case = read_split(project.paths.artifacts).test[0]
    label = read_case_label(project.paths.data, cases, cases[case])
    shown = build_exhibit(cases, case, models=["m"], paths=project.paths).structures
    for one, values in zip(shown, MEMBERS.values(), strict=True):
        drawn = int(np.isin(label.array, values).sum())
        millilitres = drawn * label.grid.voxel_volume / 1000
        assert one.sizes[REFERENCE] == pytest.approx(millilitres)


def test_a_dicom_seg_holds_a_segment_for_each_structure(
    project: Project, tmp_path: Path
) -> None:
    """highdicom reads the segments; the volumes of the manifest are theirs."""
    cases = read_cases(project.paths.artifacts)
    name = read_split(project.paths.artifacts).test[0]
    image = read_case(project.paths.data, cases, cases[name])
    write_series(tmp_path / "in", voxels=image.array[0].astype(np.int16))
    series = read_series(find_series(tmp_path.glob("in/*"))[0])
    settings = PLAIN.model_copy(update={"probabilities": True, "overlay": True})

    summary = run(project.folder, [tmp_path / "in"], tmp_path / "out", settings)

    (case,) = summary.done
    made = Segmenter.load(project.folder)
    labels = made.segment(series.image, build_inference(settings)).array
    masks = [np.isin(labels, values) for values in MEMBERS.values()]
    seg = highdicom.seg.segread(tmp_path / "out" / f"{case}.dcm")
    uids = [header.SOPInstanceUID for header in series.slices]
    pixels = seg.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True
    )
    manifest = json.loads((tmp_path / "out" / f"{case}.json").read_text())
    assert masks[0].sum() > masks[1].sum() > masks[2].sum() > 0
    for number, (name, mask) in enumerate(zip(MEMBERS, masks, strict=True)):
        found = pixels[..., number].transpose(2, 1, 0)
        assert seg.get_segment_description(number + 1).segment_label == name
        assert (found == mask).all()
        assert manifest["voxels"][name] == mask.sum()
        millilitres = mask.sum() * 0.75 * 1.25 * 2.5 / 1000
        assert manifest["volumes_ml"][name] == pytest.approx(millilitres, abs=1e-6)
        plain = name.replace(" ", "-")
        assert (tmp_path / "out" / f"{case}_probability_{plain}.nii.gz").is_file()


def test_what_makes_no_sense_for_them_is_refused_at_the_door(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_tumours(paths.data, patients=PATIENTS)
    run_to_split(paths)
    weighed = {"m": changed(PARAMS, border_weights=True)}
    with pytest.raises(DataError, match=r"model m: border_weights: .* set it to false"):
        plan.run(PLAN, models=weighed, paths=paths)
    plan.run(PLAN, models={"m": PARAMS}, paths=paths)

    (paths.data / "instancesTr").mkdir()
    for label in (paths.data / "labelsTr").iterdir():
        (paths.data / "instancesTr" / label.name).write_bytes(label.read_bytes())
    with pytest.raises(DataError, match="instancesTr: expected no instance ids"):
        run_to_split(paths)
    about = paths.data / "dataset.json"
    single = {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 4}
    document = {**json.loads(about.read_text()), "labels": single}
    del document["regions_class_order"]
    about.write_text(json.dumps(document))
    assert TUMOUR["labels"] != single
    run_to_split(paths)
