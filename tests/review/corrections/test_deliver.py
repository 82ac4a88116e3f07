"""A corrected segmentation enters the training by the inbox, and no test set ever."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segpipe.approval.records import Correction
from segpipe.dataset.case import read_cases
from segpipe.dataset.split import lock_file, pseudonym, read_lock, read_split
from segpipe.images.formats.nifti import read_label, write_image, write_label
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.review.corrections.deliver import Finding, deliver
from segpipe.stages import split, verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.manifest import InputRecord, Manifest
from tests.support.corrected import judged_case, trained_on, write_project
from tests.support.projects import SPLIT, VERIFY
from tests.support.reviews import password_of, write_people

SHAPE = (24, 20, 16)
SEGMENTER = "d" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = write_project(tmp_path_factory.mktemp("deliver"))
    write_people(paths.root)
    return paths


@pytest.fixture
def paths(made: Paths, tmp_path: Path) -> Paths:
    shutil.copytree(made.root, tmp_path / "project")
    (tmp_path / "inbox").mkdir()
    return Paths(tmp_path / "project")


def segmented(folder: Path, name: str = "p7", *, image: Path | None = None) -> Finding:
    """What segment leaves for a patient, and a mask of one more row of voxels."""
    grid = Grid.from_spacing(SHAPE, (1.0, 1.0, 2.0), "mm")
    source = folder / f"{name}.nii"
    if image is None:
        noise = np.random.default_rng(7).integers(0, 200, SHAPE).astype(np.uint8)
        write_image(source, noise, grid)
    else:
        shutil.copyfile(image, source)
        grid = read_label(image).grid
    out = folder / "out"
    label = np.zeros(SHAPE, np.uint8)
    label[4:12, 5:11, 6:9] = 1
    write_label(out / f"{name}.nii", label, grid)
    mine = label.copy()
    mine[12, 5:11, 6:9] = 1
    write_label(folder / f"{name}-mine.nii", mine, grid)
    Manifest(
        format_version=1,
        case=name,
        made="2026-11-26T10:00:00+00:00",
        key="k",
        inputs=(InputRecord(name=source.name, files=1, sha256=digest_file(source)),),
        outputs={f"{name}.nii": digest_file(out / f"{name}.nii")},
        segmenter=SegmenterRecord(
            name="balls", version="3", digest=SEGMENTER, folds=(SEGMENTER,), run=None
        ),
        settings={},
        segpipe={},
        device="cpu",
        shape=SHAPE,
        spacing=(1.0, 1.0, 2.0),
        unit="mm",
        orientation="RAS",
        voxels={},
        volumes_ml={},
        seconds={},
        warnings=(),
    ).write(out / f"{name}.json")
    mask = folder / f"{name}-mine.nii"
    return Finding(out / f"{name}.nii", mask, (source,), "patient 7", "one row more")


def hand_in(found: Finding, paths: Paths) -> tuple[Any, Path]:
    inbox = paths.root.parent / "inbox"
    return deliver(found, inbox, "rob", password_of("rob"), paths)


def test_a_delivery_is_imported_with_its_origin_and_never_tested(
    paths: Paths, tmp_path: Path
) -> None:
    """The row of 6 x 3 voxels is 36 mm³; its 18 voxels are all new contour."""
    record, folder = hand_in(segmented(tmp_path), paths)
    before = {*read_split(paths.artifacts).test}
    import_dataset(folder, paths.data, ImportOptions(add=True))
    verify.run(VERIFY, networks={"m": 3}, paths=paths)
    split.run(SPLIT, paths=paths)

    content = record.content
    assert isinstance(content, Correction)
    assert (content.purpose, content.subject.segmenter) == ("training", SEGMENTER)
    assert content.added_path_mm == 18
    assert content.changed_ml == {"ball": pytest.approx(0.036), "core": 0}
    assert content.after == digest_file(paths.data / "labelsTr/p7.nii")
    case = read_cases(paths.artifacts)["p7"]
    assert (case.patient, case.is_derived) == ("patient 7", True)
    assert case.attributes == {
        "site": "",
        "derived_from": SEGMENTER,
        "corrected_version": "balls 3",
        "corrected_by": "rob",
        "correction_record": f"{record.number}",
    }
    assert {*read_split(paths.artifacts).test} == before
    assert any("p7" in fold.training for fold in read_split(paths.artifacts).folds)


def test_whoever_belongs_to_the_test_set_never_gets_in(
    paths: Paths, tmp_path: Path
) -> None:
    """By patient, by a patient whose cases left the data, and by voxels."""
    cases = read_cases(paths.artifacts)
    one = cases[judged_case(paths)]
    lock = lock_file(paths.root)
    kept = read_lock(lock).sides | {pseudonym("gone"): "test"}
    read_lock(lock).model_copy(update={"sides": kept}).write(lock)
    new = segmented(tmp_path)
    again = segmented(tmp_path, "again", image=paths.data / one.images[0])
    named = segmented(tmp_path, one.name)

    for found in (
        replace(new, patient=one.patient),
        replace(new, patient="gone"),
        again,
        named,
    ):
        with pytest.raises(DataError, match="test set"):
            hand_in(found, paths)
    assert not [*(tmp_path / "inbox").iterdir()]


def test_a_patient_who_is_tested_stops_the_split_whatever_way_the_case_came(
    paths: Paths, tmp_path: Path
) -> None:
    """A delivery whose patient was changed by hand."""
    _, folder = hand_in(segmented(tmp_path), paths)
    patient = read_cases(paths.artifacts)[judged_case(paths)].patient
    table = folder / "patients.csv"
    table.write_text(table.read_text().replace("patient 7", patient))
    import_dataset(folder, paths.data, ImportOptions(add=True))
    verify.run(VERIFY, networks={"m": 3}, paths=paths)

    with pytest.raises(DataError, match="patient who is tested"):
        split.run(SPLIT, paths=paths)


def test_files_that_do_not_belong_together_are_refused(
    paths: Paths, tmp_path: Path
) -> None:
    found = segmented(tmp_path)
    other = segmented(tmp_path / "other", "p8")
    other_image = tmp_path / "x.nii"
    write_image(
        other_image,
        np.ones(SHAPE, np.uint8),
        Grid.from_spacing(SHAPE, (1.0, 1.0, 2.0), "mm"),
    )
    for changed, words in (
        ({"images": (other_image,)}, "the image that was segmented"),
        ({"images": ()}, "1 channels"),
        ({"mask": found.output}, "the same mask"),
        ({"output": found.mask}, "the manifest"),
        ({"mask": tmp_path / "none.nii"}, "at most"),
    ):
        with pytest.raises(DataError, match=words):
            hand_in(replace(found, **changed), paths)
    with pytest.raises(DataError, match="password"):
        deliver(found, tmp_path / "inbox", "rob", "not the words", paths)
    assert not [*(tmp_path / "inbox").iterdir()]
    hand_in(found, paths)
    with pytest.raises(DataError, match="no delivery of this case yet"):
        hand_in(found, paths)
    hand_in(replace(other, patient="patient 8"), paths)


def test_a_case_of_data_is_corrected_in_its_review(
    paths: Paths, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="correct that in its review"):
        hand_in(segmented(tmp_path, trained_on(paths)), paths)
