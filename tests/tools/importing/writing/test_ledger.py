"""The ledger has a line a file, and no folder of this machine."""

import json
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import LEDGER, read_ledger
from tests.support.sources import box, write_nifti, write_observers, write_structures

MASKS = ImportOptions(
    images="{case}/ct.nii.gz",
    labels="{case}/segmentations/{structure}.nii.gz",
    structures={"kidney": ("kidney_left", "kidney_right"), "liver": ("liver",)},
)
EYES = ImportOptions(
    images="{case}.png", labels="{case}_{observer}.png", reference="1stHO"
)


def test_each_file_of_the_source_has_its_line(tmp_path: Path) -> None:
    write_structures(tmp_path / "source")
    import_dataset(tmp_path / "source", tmp_path / "data", MASKS)
    text = (tmp_path / "data" / LEDGER).read_text()
    found = read_ledger(tmp_path / "data")

    assert {line.file for line in found} == {
        path.relative_to(tmp_path / "source").as_posix()
        for path in (tmp_path / "source").rglob("*.nii.gz")
    }
    assert len(text.splitlines()) == len(found) + 2
    assert str(tmp_path) not in text
    assert found[1].read_as == "mask of kidney_left"
    assert found[1].wrote == ("labelsTr/s1.nii.gz",)


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    write_observers(tmp_path / "source")
    import_dataset(tmp_path / "source", tmp_path / "data", EYES)
    found = {line.file: line for line in read_ledger(tmp_path / "data")}

    assert "a spacing of 1 px" in found["1L.png"].assumed[0]
    assert found["1L_2ndHO.png"].read_as == "label map by 2ndHO"
    assert found["1L_2ndHO.png"].wrote == ("observers/2ndHO/1L.png",)


def test_add_continues_it_and_the_same_import_writes_the_same(tmp_path: Path) -> None:
    write_structures(tmp_path / "one", ("a",))
    write_structures(tmp_path / "two", ("a", "b"))
    for data in ("data", "again"):
        import_dataset(tmp_path / "one", tmp_path / data, MASKS)
    both = [(tmp_path / data / LEDGER).read_bytes() for data in ("data", "again")]
    assert both[0] == both[1]
    add = ImportOptions(**{**vars(MASKS), "add": True})
    (tmp_path / "two" / "b" / "segmentations" / "liver.nii.gz").unlink()
    write_nifti(tmp_path / "two" / "b" / "segmentations" / "liver.nii.gz", box(2, 4))
    import_dataset(tmp_path / "two", tmp_path / "data", add)

    cases = [line.case for line in read_ledger(tmp_path / "data")]
    assert cases == ["a"] * 4 + ["b"] * 4
    assert not (tmp_path / "data" / LEDGER).stat().st_nlink > 1


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text(json.dumps({"format_version": 2, "files": []}))

    with pytest.raises(DataError, match=r"import\.json: expected a Ledger"):
        read_ledger(tmp_path)
