"""dataset.json: what is wrong with it is said with its mend, all at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from segpipe.dataset.description import legend_of, read_description
from segpipe.project.errors import DataError

GOOD: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "FLAIR"},
    "labels": {"background": 0, "lesion": 7, "ignore": 255},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


NESTED = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


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
        ({"regions_class_order": [7]}, "found [7]; delete the key"),
        ({"labels": {**NESTED, "core": 2.5}}, "labels.core"),
        ({"labels": {"0": "background", "1": "liver"}}, "segpipe import"),
        ({"labels": {"background": 1, "liver": 2}}, "labels.background: expected 0"),
        ({"labels": {"background": 0}}, "at least one structure, found none"),
        ({"labels": {"background": 0, "a": 2, "b": 2}}, "found 2 as a, b"),
        ({"labels": {"background": 0, "a": [1, 1]}}, "found [1, 1]; write 1"),
        ({"labels": {"background": 0, "a": [1]}}, "found [1]; write 1"),
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


def test_regions_are_read_as_nnunet_writes_them(tmp_path: Path) -> None:
    """The example of nnU-Net's documentation/region_based_training.md."""
    write(tmp_path, labels={**NESTED, "ignore": 4}, regions_class_order=[1, 2, 3])

    about = read_description(tmp_path)
    legend = legend_of(about.structures, about.regions_class_order)
    assert about.ignore == 4
    assert legend.structures == tuple(NESTED)
    assert legend.values == (0, 1, 2, 3)
    assert legend.members == ((0,), (1, 2, 3), (2, 3), (3,))
    assert legend.table.astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 1, 1],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
    ]


def test_the_regions_of_kits_2023_are_taken(tmp_path: Path) -> None:
    """Kidney, masses and tumour as published for nnU-Net; the tumour has value 2."""
    labels = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}

    about = read_description(
        write(tmp_path, labels=labels, regions_class_order=[1, 3, 2])
    )

    assert about.regions_class_order == (1, 3, 2)


@pytest.mark.parametrize(
    ("changes", "order", "fault", "mended"),
    [
        ({}, None, "expected 3 values, .* found none", [1, 2, 3]),
        ({}, [1, 2], "expected 3 values, .* found \\[1, 2\\]", [1, 2, 3]),
        ({}, [1, 2, 9], "found \\[9\\], which none of them holds", [1, 2, 3]),
        ({}, [3, 2, 1], "voxel of 1 .*written as 3", [1, 2, 3]),
        ({"rest": []}, [1, 2, 3], "labels.rest: expected at least one value", None),
        ({"all": [3, 2, 1]}, [1, 2, 3], "found .* as whole, all", None),
        ({"core": [2, 3, 2]}, [1, 2, 3], r"found \[2, 3, 2\]; write", None),
        ({"core": [0, 3]}, [1, 2, 3], "labels.core: .* found 0", None),
        ({"ignore": 3}, [1, 2, 3], "labels.*found 3", None),
        ({"ignore": [4, 5]}, [1, 2, 3], "labels.ignore: expected one whole", None),
    ],
)
def test_regions_that_cannot_be_written_are_named_with_the_mend(
    changes: dict[str, Any],
    order: list[int] | None,
    fault: str,
    mended: list[int] | None,
    tmp_path: Path,
) -> None:
    """The mend: another order, or the label deleted or as it was."""
    labels = {**NESTED, **changes}
    with pytest.raises(DataError, match=fault):
        read_description(write(tmp_path, labels=labels, regions_class_order=order))

    read_description(
        write(tmp_path, labels=NESTED, regions_class_order=mended or [1, 2, 3])
    )


def test_one_value_in_a_list_is_a_number_beside_unions(tmp_path: Path) -> None:
    """nnU-Net's documentation writes enhancing as 3 or (3,)."""
    labels = {**NESTED, "enhancing": [3]}
    write(tmp_path, labels=labels, regions_class_order=[1, 2, 3])

    assert read_description(tmp_path).labels["enhancing"] == (3,)


def test_values_that_regions_share_need_a_region_of_their_own(tmp_path: Path) -> None:
    labels = {"background": 0, "left": [1, 3], "right": [2, 3]}
    with pytest.raises(DataError, match="that several share a structure of their own"):
        read_description(write(tmp_path, labels=labels, regions_class_order=[1, 2]))

    labels["both"] = 3
    read_description(write(tmp_path, labels=labels, regions_class_order=[1, 2, 3]))


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
