"""How cases are found as they lie outside of a project."""

import json
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.sources import (
    RawCase,
    RawCases,
    find_described,
    find_hdf5,
)
from segpipe.tools.importing.reading.labels import Drawn
from tests.support.phantoms import write_dataset


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_an_nnunet_folder_says_all_itself(tmp_path: Path) -> None:
    write_dataset(tmp_path, cases=2, instances=True, ignore=9)

    found = find_described(tmp_path)
    assert found.labels == {"background": 0, "ball": 1, "core": 3, "ignore": 9}
    assert found.channels == ("intensity",)
    assert found.cases[1].instances == tmp_path / "instancesTr" / "case_01.nii"


def write_msd(folder: Path, **values: object) -> None:
    document = {
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "training": [
            {"image": "./imagesTr/h_1.nii.gz", "label": "./labelsTr/h_1.nii.gz"}
        ],
        **values,
    }
    touch(folder / "imagesTr", "h_1.nii.gz")
    touch(folder / "labelsTr", "h_1.nii.gz")
    (folder / "dataset.json").write_text(json.dumps(document))


def test_an_msd_folder_says_all_itself(tmp_path: Path) -> None:
    write_msd(tmp_path)

    found = find_described(tmp_path)
    assert found.labels == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert found.channels == ("MRI",)
    assert [case.name for case in found.cases] == ["h_1"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"training": [{"image": "a.nii", "label": "b.nii"}]}, "dataset.json lists"),
        ({"training": ["a.nii"]}, "expected image and label under training"),
        ({"labels": ["liver"]}, "expected labels and modality"),
        ({"labels": {"one": "liver"}}, "expected numbers to names"),
    ],
)
def test_a_faulty_list_is_named(
    values: dict[str, object], words: str, tmp_path: Path
) -> None:
    write_msd(tmp_path, **values)

    with pytest.raises(DataError, match=words):
        find_described(tmp_path)


def test_each_hdf5_file_is_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "b.h5", "a.hdf5", ".c.h5", "readme.md")

    found = find_hdf5(tmp_path)
    assert [case.name for case in found.cases] == ["a", "b"]
    assert all(case.images == (case.label,) for case in found.cases)


@pytest.mark.parametrize("name", ["/tmp/a", "..", "a/b", "a\\b", ".a", "", "a\0"])
@pytest.mark.parametrize("whose", ["case", "observer"])
def test_no_name_leads_out_of_the_data(name: str, whose: str) -> None:
    image, label = Path("a.png"), Path("b.png")
    drawn = {name: Drawn((label,))} if whose == "observer" and name else {}
    case = RawCase(name if not drawn else "a", (image,), label, observers=drawn)

    with pytest.raises(DataError, match=r"b\.png: expected a name of a case"):
        RawCases((case,))


def test_two_cases_of_one_name_are_refused_with_both_files() -> None:
    cases = [RawCase(n, (Path(f"{n}.png"),), Path("a.json")) for n in ("Ab", "aB")]

    with pytest.raises(DataError, match=r"aB\.png: .*Ab\.png is the case Ab, too"):
        RawCases(tuple(cases))
