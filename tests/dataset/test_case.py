"""Cases: the order of classes is the order of values, whatever the file says."""

from pathlib import Path

import pytest

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.project.errors import DataError


def case(name: str) -> Case:
    return Case(
        name=name,
        patient="p",
        images=(f"{name}_0000.nii",),
        label=f"{name}.nii",
        instances=None,
        shape=(2, 3, 4),
        spacing=(1.0, 1.0, 2.0),
        attributes={"site": "north"},
        warnings=(),
    )


CASES = CaseList(
    format_version=1,
    dimensions=3,
    unit="mm",
    spacing_mm=None,
    file_ending=".nii",
    channels=("ct",),
    labels={"tumour": 200, "background": 0, "liver": 5, "spleen": 17},
    ignore=255,
    cases=(case("a"), case("b")),
)


def test_classes_are_in_the_order_of_their_values() -> None:
    assert CASES.values == (0, 5, 17, 200)
    assert CASES.structures == ("background", "liver", "spleen", "tumour")


def test_a_case_is_found_by_its_name() -> None:
    assert CASES["b"].images == ("b_0000.nii",)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    CASES.write(tmp_path / "verify" / "cases.json")

    assert read_cases(tmp_path) == CASES


def test_before_verify_the_mend_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_cases(tmp_path)
