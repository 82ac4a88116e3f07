"""Given sides come before all others, or are refused."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import split
from tests.support.sides import COPIES, MANY, PARAMS, sides, split_of, write_cases


def test_splits_csv_overrides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    paths.data.mkdir()
    text = "patient,side\n" + "".join(f"{p},test\n" for p in MANY[:30])
    (paths.data / "splits.csv").write_text(text + "patient_30,3\n")
    side = sides(split_of(paths))

    assert {side[f"{patient}-1"] for patient in MANY[:30]} == {"test"}
    assert side["patient_30-0"] == "3"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("patient_1,test\npatient_1,0\n", "line 3: expected one side a patient"),
        ("nobody,test\n", "line 2: expected a known patient, found nobody"),
        ("patient_1,9\n", "a fold below 5, found 9"),
        ("patient_1,train\n", "found train"),
    ],
)
def test_a_contradiction_in_splits_csv_is_refused(
    rows: str, fault: str, tmp_path: Path
) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    paths.data.mkdir()
    (paths.data / "splits.csv").write_text("patient,side\n" + rows)

    with pytest.raises(DataError, match=fault):
        split.run(PARAMS, paths=paths)


def test_copies_follow_the_one_that_splits_csv_names(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, digests=COPIES)
    paths.data.mkdir()
    (paths.data / "splits.csv").write_text("patient,side\npatient_50,3\n")
    side = sides(split_of(paths))

    assert {side[f"patient_{n}-0"] for n in (3, 7, 50)} == {"3"}


def test_copies_that_splits_csv_puts_on_two_sides_are_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, digests=COPIES)
    paths.data.mkdir()
    file = paths.data / "splits.csv"
    file.write_text("patient,side\npatient_3,test\npatient_50,3\n")

    with pytest.raises(
        DataError, match=r"line 3: .* on test, the side of patient_3 .*, found 3; write"
    ):
        split.run(PARAMS, paths=paths)
    file.write_text("patient,side\npatient_3,test\npatient_50,test\n")
    assert sides(split_of(paths))["patient_7-1"] == "test"


def test_a_centre_is_held_out_by_a_column(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    held = {patient: {"side": "test"} for patient in MANY[:20]}
    write_cases(paths, MANY, attributes=held)
    found = split_of(paths)

    assert {name.split("-")[0] for name in found.test} == set(MANY[:20])
    held[MANY[0]] = {"side": "tst"}
    write_cases(paths, MANY, attributes=held)
    with pytest.raises(DataError, match=r"patients.csv, case patient_0-0: .*found tst"):
        split_of(paths)


def test_a_column_side_may_tell_eyes_apart(tmp_path: Path) -> None:
    """A project may have had this free column before it meant anything."""
    paths = Paths(tmp_path)
    eyes = {name: {"side": "Left" if n % 2 else "R"} for n, name in enumerate(MANY)}
    write_cases(paths, MANY, attributes=eyes)

    assert len(split_of(paths).test) == 24
