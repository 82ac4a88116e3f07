"""Label maps are replaced in data/ as a whole; what was there is never written to."""

import os
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.tools.importing.writing.ledger import LedgerLine, read_ledger
from segpipe.tools.importing.writing.relabelling import NewLabel, replace_labels
from tests.support.phantoms import write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(
        tmp_path / "data",
        cases=3,
        instances=True,
        patients={f"case_{n:02d}": f"smith_{n}" for n in range(3)},
    )
    return tmp_path / "data"


def other(data: Path, name: str) -> tuple[NewLabel, np.ndarray]:
    label = read_label(data / f"labelsTr/{name}.nii")
    array = label.array.copy()
    array[0, 0, 0] = 1
    source = data.parent / f"{name}.nii"
    write_label(source, array.astype(np.uint8), label.grid)
    wrote = (f"labelsTr/{name}.nii", f"instancesTr/{name}.nii")
    line = LedgerLine(file="reviews/1", case=name, read_as="correction", wrote=wrote)
    return NewLabel(wrote[0], source, (wrote[1], array * 300), line), array


def content(data: Path) -> dict[str, bytes]:
    files = (path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in files}


def test_one_label_map_is_replaced_and_all_else_stays(data: Path) -> None:
    """DVC may have linked the file to its cache, which must not change."""
    linked = data.parent / "cache"
    os.link(data / "labelsTr/case_01.nii", linked)
    before, old = content(data), linked.read_bytes()
    new, array = other(data, "case_01")
    replace_labels(data, [new])
    after = content(data)

    assert {name for name in after if after[name] != before.get(name)} == {
        "labelsTr/case_01.nii",
        "instancesTr/case_01.nii",
        "import.json",
    }
    assert after["labelsTr/case_01.nii"] == new.source.read_bytes()
    ids = read_label(data / "instancesTr/case_01.nii").array
    assert (ids == array * 300).all()
    assert linked.read_bytes() == old
    assert read_ledger(data) == (new.line,)
    assert not read_dataset(data, "zeros").faults
    assert not [one for one in data.parent.iterdir() if one.name.startswith(".data")]


def test_of_two_label_maps_both_are_replaced_or_none(data: Path) -> None:
    before = content(data)
    new, _ = other(data, "case_01")
    lost, _ = other(data, "case_02")
    lost.source.unlink()

    with pytest.raises(FileNotFoundError):
        replace_labels(data, [new, lost])
    assert content(data) == before
