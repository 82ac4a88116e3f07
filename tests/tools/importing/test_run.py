"""Importing brings everything in, or nothing; and never loses what is there."""

import csv
import os
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

from segpipe.dataset.description import read_description
from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.phantom import write_phantom
from segpipe.tools.importing.run import import_dataset, parse_structures
from tests.support.phantoms import write_dataset
from tests.support.projects import VERIFY

PAIR = ImportOptions(images="scans", labels="masks")
REAL = os.environ.get("SEGPIPE_REAL_DATA")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four cases as a pair of folders."""
    folder = tmp_path / "source"
    write_dataset(folder, cases=4)
    (folder / "imagesTr").rename(folder / "scans")
    (folder / "labelsTr").rename(folder / "masks")
    (folder / "dataset.json").unlink()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_pair_of_folders_becomes_a_sound_data_set(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    said = import_dataset(source, data, PAIR)

    assert "imported 4 cases" in said
    found = read_dataset(data)
    assert not found.faults
    assert found.labels == {"background": 0, "structure_1": 1, "structure_3": 3}
    verify.run(VERIFY, networks={"m": 3}, paths=Paths(tmp_path))


def test_an_nnunet_folder_comes_in_as_it_is(tmp_path: Path) -> None:
    write_dataset(
        tmp_path / "source",
        cases=3,
        instances=True,
        ignore=9,
        patients={f"case_0{n}": "p" for n in range(3)},
    )
    import_dataset(tmp_path / "source", tmp_path / "data", ImportOptions())

    found = read_dataset(tmp_path / "data")
    assert not found.faults
    assert found.ignore == 9
    assert {case.patient for case in found.cases} == {"p"}
    assert found.cases[0].instances


def test_hdf5_with_named_data_sets_comes_in(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    ids = np.arange(4 * 5 * 6).reshape(4, 5, 6) // 20
    with h5py.File(tmp_path / "source" / "ovule.h5", "w") as file:
        file["intensity"] = np.random.default_rng(0).integers(0, 255, (4, 5, 6))
        file["cells"] = ids
        for name in ("intensity", "cells"):
            file[name].attrs["element_size_um"] = (0.3, 0.1, 0.1)
    options = ImportOptions(
        instances=True, image_key="intensity", label_key="cells", structures={"cell": 1}
    )
    import_dataset(tmp_path / "source", tmp_path / "data", options)

    found = read_label(tmp_path / "data" / "instancesTr" / "ovule.nii.gz")
    assert sorted(np.unique(found.array)) == sorted(np.unique(ids))


def test_other_data_are_never_overwritten_unasked(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    before = contents(data)

    with pytest.raises(DataError, match="--add to join them, or --replace"):
        import_dataset(source, data, PAIR)
    assert contents(data) == before


def test_the_untouched_example_gives_way(source: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "data")
    import_dataset(source, tmp_path / "data", PAIR)

    assert len(read_dataset(tmp_path / "data").cases) == 4


def test_a_touched_example_does_not(source: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text("mine")

    with pytest.raises(DataError, match="found other data"):
        import_dataset(source, tmp_path / "data", PAIR)


def test_replace_gives_up_what_is_there(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=6)
    import_dataset(source, data, ImportOptions(**{**vars(PAIR), "replace": True}))

    assert len(read_dataset(data).cases) == 4


def test_add_joins_and_keeps_values_and_names(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    for folder in ("imagesTr", "labelsTr"):
        for file in (data / folder).iterdir():
            file.rename(file.with_name("old_" + file.name))
    before = contents(data)
    import_dataset(source, data, ImportOptions(**{**vars(PAIR), "add": True}))

    found = read_dataset(data)
    assert not found.faults
    assert len(found.cases) == 6
    assert read_description(data).labels == {"background": 0, "ball": 1, "core": 3}
    after = contents(data)
    assert all(after[name] == before[name] for name in before if "Tr" in name)


def test_adding_names_that_are_there_is_refused(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    before = contents(data)

    with pytest.raises(DataError, match="case_00, case_01 on both sides"):
        import_dataset(source, data, ImportOptions(**{**vars(PAIR), "add": True}))
    assert contents(data) == before


def test_a_damaged_file_leaves_everything_as_it_was(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    before = contents(data)
    last = source / "masks" / "case_03.nii"
    last.write_bytes(last.read_bytes()[:-50])

    with pytest.raises(DataError, match=r"case_03\.nii"):
        import_dataset(source, data, ImportOptions(**{**vars(PAIR), "replace": True}))
    assert contents(data) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_patients_come_from_a_file_of_their_own(source: Path, tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    rows = "".join(f"case_0{n},p{n // 2},north\n" for n in range(4))
    table.write_text("case,patient,site\n" + rows)
    import_dataset(
        source, tmp_path / "data", ImportOptions(**{**vars(PAIR), "patients": table})
    )

    with (tmp_path / "data" / "patients.csv").open() as file:
        assert [row["patient"] for row in csv.DictReader(file)] == [
            "p0",
            "p0",
            "p1",
            "p1",
        ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ImportOptions(), "give for example --images images --labels labels"),
        (ImportOptions(images="no", labels="masks"), "no: expected a folder"),
        (ImportOptions(images="scans", labels="masks", add=True, replace=True), "both"),
    ],
)
def test_what_cannot_be_found_is_answered_with_the_way(
    options: ImportOptions, words: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        import_dataset(source, tmp_path / "data", options)
    assert not (tmp_path / "data").exists()


def test_structures_are_name_and_value() -> None:
    assert parse_structures(["a=1", "b c=-2"]) == {"a": 1, "b c": -2}
    for texts in (["a"], ["=1"], ["a=x"], ["a=1", "a=2"], ["a=1", "b=1"]):
        with pytest.raises(DataError, match="--structure"):
            parse_structures(texts)


def test_channels_of_a_fourth_axis_come_apart(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    write_dataset(folder, cases=1)
    (folder / "dataset.json").unlink()
    file = folder / "imagesTr" / "case_00_0000.nii"
    file.unlink()
    four = np.random.default_rng(0).integers(0, 99, (24, 20, 16, 2)).astype(np.int16)
    nib.Nifti1Image(four, np.diag([1.0, 1, 2, 1])).to_filename(
        folder / "imagesTr" / "case_00.nii"
    )
    options = ImportOptions(images="imagesTr", labels="labelsTr", channels=("a", "b"))
    import_dataset(folder, tmp_path / "data", options)

    assert read_dataset(tmp_path / "data").channels == ("a", "b")


REAL_SETS = {
    "3d_msd_hippocampus": (
        ImportOptions(
            images="images",
            labels="labels",
            channels=("MRI",),
            structures={"anterior": 1, "posterior": 2},
        ),
        98,
    ),
    "2d_isbi2012_em": (
        ImportOptions(images="images", labels="labels", structures={"interior": 255}),
        20,
    ),
    "3d_plantseg_ovule": (
        ImportOptions(images="images", instances=True, structures={"cell": 1}),
        1,
    ),
    "3d_ms_lesion": (
        ImportOptions(
            images="images",
            labels="labels",
            channel_suffixes=("FLAIR", "T1"),
            label_suffix="_GOLD_STANDARD",
            structures={"lesion": 1},
        ),
        None,
    ),
    "2d_dsb2018": (
        ImportOptions(
            images="images",
            labels="labels",
            instances=True,
            structures={"nucleus": 1},
        ),
        164,
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="SEGPIPE_REAL_DATA is not set")
@pytest.mark.parametrize("name", REAL_SETS)
def test_each_real_set_comes_in_with_one_command(name: str, tmp_path: Path) -> None:
    options, number = REAL_SETS[name]
    import_dataset(Path(REAL or "") / name, tmp_path / "data", options)

    found = read_dataset(tmp_path / "data")
    assert not found.faults
    if number:
        assert len(found.cases) == number
    verify.run(VERIFY, networks={"m": 2}, paths=Paths(tmp_path))
