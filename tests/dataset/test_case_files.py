"""A case is read whole, whatever its format; a prediction is read as it was written."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import (
    PredictionRecord,
    prediction_record_file,
    predictions_folder,
    read_case,
    read_case_instances,
    read_case_label,
    read_prediction,
    read_prediction_record,
    write_prediction,
)
from segpipe.images.formats import nifti, raster
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError

GRID = Grid.from_spacing((4, 3, 2), (1.0, 2.0, 3.0), "mm")


def case_list(case: Case, **changes: object) -> CaseList:
    values = {
        "format_version": 1,
        "dimensions": 3,
        "unit": "mm",
        "spacing_mm": None,
        "file_ending": ".nii",
        "channels": ("a", "b"),
        "labels": {"background": 0, "ball": 1},
        "ignore": None,
        "cases": (case,),
    }
    return CaseList(**(values | changes))


def case(images: tuple[str, ...], label: str, instances: str | None = None) -> Case:
    return Case(
        name="one",
        patient="one",
        images=images,
        label=label,
        instances=instances,
        shape=(4, 3, 2),
        spacing=(1.0, 2.0, 3.0),
        attributes={},
        warnings=(),
    )


def test_channels_of_several_files_become_one_image(tmp_path: Path) -> None:
    arrays = [np.full(GRID.shape, value, np.int16) for value in (3, 7)]
    for name, array in zip(("a.nii", "b.nii"), arrays, strict=True):
        nifti.write_image(tmp_path / name, array, GRID)
    nifti.write_label(tmp_path / "l.nii", arrays[0], GRID)
    one = case(("a.nii", "b.nii"), "l.nii", "l.nii")
    cases = case_list(one)

    image = read_case(tmp_path, cases, one)
    instances = read_case_instances(tmp_path, cases, one)

    assert image.array[:, 0, 0, 0].tolist() == [3, 7]
    assert image.grid.spacing == (1, 2, 3)
    assert instances is not None
    assert (instances.array == 3).all()


def test_the_unit_is_that_of_the_data_set_and_not_of_the_format(tmp_path: Path) -> None:
    nifti.write_image(tmp_path / "a.nii", np.zeros(GRID.shape, np.int16), GRID)
    nifti.write_label(tmp_path / "l.nii", np.zeros(GRID.shape, np.int16), GRID)
    one = case(("a.nii",), "l.nii")
    cases = case_list(one, unit="px", channels=("a",))

    assert read_case(tmp_path, cases, one).grid.unit == "px"
    assert read_case_label(tmp_path, cases, one).grid.unit == "px"
    assert read_case_instances(tmp_path, cases, one) is None


def test_the_spacing_of_the_data_set_reaches_its_images(tmp_path: Path) -> None:
    raster.write_image(tmp_path / "a.png", np.zeros((3, 4, 3, 1), np.uint8))
    one = case(("a.png",), "a.png")
    cases = case_list(one, spacing_mm=(0.2, 0.3), dimensions=2, file_ending=".png")

    assert read_case(tmp_path, cases, one).grid.spacing == (0.2, 0.3, 1)


def test_a_prediction_is_read_as_it_was_written_and_may_be_missing(
    tmp_path: Path,
) -> None:
    cases = case_list(case(("a.nii",), "l.nii"))
    array = np.arange(24, dtype=np.uint8).reshape(GRID.shape)

    write_prediction(
        predictions_folder(tmp_path, "m"), cases, "one", LabelMap(array, GRID)
    )

    found = read_prediction(tmp_path, "m", cases, "one")
    assert found is not None
    assert found.grid.matches(GRID, tolerance=1e-6)
    np.testing.assert_array_equal(found.array, array)
    assert (tmp_path / "predict" / "m" / "one.nii").is_file()
    assert read_prediction(tmp_path, "other", cases, "one") is None


def test_predictions_say_which_segmenter_made_them(tmp_path: Path) -> None:
    record = PredictionRecord(
        format_version=1, model="m", folds=(0, 1), segmenter="abc", cases=("one",)
    )
    record.write(prediction_record_file(predictions_folder(tmp_path, "m")))

    assert read_prediction_record(tmp_path, "m") == record
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_prediction_record(tmp_path, "other")


def test_a_record_from_before_is_read_and_says_no_more_of_lines(tmp_path: Path) -> None:
    """Older ones name the lines between instances, which nothing reads."""
    made = {"dimensions": 3, "slice_axis": 2, "spacing": [1.0, 1.0, 1.0]}
    old = {
        "format_version": 1,
        "model": "m",
        "folds": [0],
        "segmenter": "d",
        "cases": ["a"],
        "separation": made,
    }
    file = tmp_path / "predictions.json"
    write_json(file, old)

    record = PredictionRecord.read(file)
    record.write(file)

    assert record.cases == ("a",)
    assert "separation" not in json.loads(file.read_text())
