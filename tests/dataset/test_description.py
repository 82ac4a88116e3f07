"""dataset.json: what is wrong with it is said with its mend, all at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from segpipe.dataset.description import read_description
from segpipe.project.errors import DataError

GOOD: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "FLAIR"},
    "labels": {"background": 0, "lesion": 7, "ignore": 255},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


def write(folder: Path, **values: Any) -> Path:
    document = {k: v for k, v in {**GOOD, **values}.items() if v is not None}
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder


def test_nnunets_own_keys_are_let_pass(tmp_path: Path) -> None:
    write(tmp_path, overwrite_image_reader_writer="SimpleITKIO", licence="CC0")

    about = read_description(tmp_path)
    assert about.labels == GOOD["labels"]
    assert about.true_unit == "mm"


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ({"file_ending": ".png"}, "px"),
        ({"file_ending": ".png", "spacing_mm": [0.5, 0.5]}, "mm"),
        ({"unit": "px"}, "px"),
    ],
)
def test_the_unit_is_mm_only_where_there_is_a_spacing(
    values: dict[str, Any], unit: str, tmp_path: Path
) -> None:
    assert read_description(write(tmp_path, **values)).true_unit == unit


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"labels": {"background": 0, "rim": [1, 2]}}, "regions are not supported"),
        ({"labels": {"0": "background", "1": "liver"}}, "segpipe import"),
        ({"labels": {"background": 1, "liver": 2}}, "labels.background: expected 0"),
        ({"labels": {"background": 0}}, "at least one structure, found none"),
        ({"labels": {"background": 0, "a": 2, "b": 2}}, "found 2 as a, b"),
        ({"labels": None}, "labels: Field required"),
        ({"channel_names": {"1": "T1"}}, "without gaps, found 1"),
        ({"file_ending": "nii.gz"}, "an ending with its dot"),
        ({"spacing_mm": [1, 1]}, "NIfTI files, which carry their own"),
        ({"file_ending": ".png", "unit": "mm"}, "unit: expected px"),
        ({"file_ending": ".png", "spacing_mm": [0, 1]}, "spacing_mm.0"),
        ({"numTraining": "3"}, "numTraining"),
    ],
)
def test_a_fault_is_named_with_what_was_found(
    values: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_description(write(tmp_path, **values))

    assert fault in str(caught.value)
    assert str(tmp_path / "dataset.json") in str(caught.value)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, labels={"background": 1}, file_ending="png")

    with pytest.raises(DataError, match=r"(?s)background.*structure.*file_ending"):
        read_description(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"[1, 2]"])
def test_what_is_no_description_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(content)

    with pytest.raises(DataError, match=r"dataset\.json"):
        read_description(tmp_path)


def test_a_folder_without_one_is_answered_with_two_ways_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"segpipe import.*segpipe phantom data"):
        read_description(tmp_path)
