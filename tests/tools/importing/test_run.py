"""Importing brings everything in, or nothing; and never loses what is there."""

import csv
import json
import os
import shutil
from concurrent.futures import Executor
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
from segpipe.tools.importing.run import import_dataset
from tests.support.kills import Act, count_kills
from tests.support.phantoms import TUMOUR, write_dataset, write_tumours
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


def test_structures_that_overlap_come_in_and_are_joined_by_their_like_alone(
    tmp_path: Path,
) -> None:
    """A delivery with another order of writing would mean other structures."""
    patients = {"case_00": "p"}
    for folder in ("source", "more", "other"):
        write_tumours(tmp_path / folder, cases=1, patients=patients)
    for folder in ("more", "other"):
        for file in sorted((tmp_path / folder).rglob("case_*")):
            file.rename(file.with_name(file.name.replace("case_", f"{folder}_")))
        table = tmp_path / folder / "patients.csv"
        table.write_text(table.read_text().replace("case_", f"{folder}_"))
    about = tmp_path / "other" / "dataset.json"
    document = json.loads(about.read_text())
    document["labels"] = {"background": 0, "whole tumour": [1, 2, 4]}
    about.write_text(json.dumps({**document, "regions_class_order": [1]}))

    import_dataset(tmp_path / "source", tmp_path / "data", ImportOptions())
    import_dataset(tmp_path / "more", tmp_path / "data", ImportOptions(add=True))

    written = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert written["labels"] == TUMOUR["labels"]
    assert written["regions_class_order"] == TUMOUR["regions_class_order"]
    assert not read_dataset(tmp_path / "data").faults
    with pytest.raises(DataError, match=r"regions_class_order .*\[1, 2, 4\], found"):
        import_dataset(tmp_path / "other", tmp_path / "data", ImportOptions(add=True))


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


def test_both_ways_to_join_data_are_one_too_many(source: Path, tmp_path: Path) -> None:
    options = ImportOptions(**{**vars(PAIR), "add": True, "replace": True})

    with pytest.raises(DataError, match="found both"):
        import_dataset(source, tmp_path / "data", options)


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


ADD = ImportOptions(**{**vars(PAIR), "add": True})


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_adding_other_content_under_a_name_is_refused(
    folder: str, source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    one, other = sorted((data / folder).iterdir())
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    before = contents(data)

    with pytest.raises(DataError, match=f"another one for case_00 .*{one.name}"):
        import_dataset(source, data, ADD)
    assert contents(data) == before
    one.write_bytes(kept)  # the mend
    import_dataset(source, data, ADD)
    assert len(read_dataset(data).cases) == 4


def test_a_delivery_that_is_there_changes_nothing(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=1)
    for file in sorted(data.rglob("case_*")):
        file.rename(file.with_name(f"old_{file.name}"))
    first = import_dataset(source, data, ADD)
    before = contents(data)

    assert "imported 4 cases" in first
    assert f"all 4 cases of this delivery are in {data} already" == import_dataset(
        source, data, ADD
    )
    assert contents(data) == before


def test_of_a_delivery_only_the_new_cases_join(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=3)
    before = contents(data)
    said = import_dataset(source, data, ADD)

    assert "imported 1 cases" in said
    assert f"3 more are in {data} already" in said
    found = read_dataset(data)
    assert not found.faults
    assert [case.name for case in found.cases] == [f"case_0{n}" for n in range(4)]
    after = contents(data)
    assert all(after[name] == before[name] for name in before if "Tr" in name)


def test_the_same_voxels_in_other_bytes_are_the_same_case(
    source: Path, tmp_path: Path
) -> None:
    """As another version of a library would write them; nibabel writes these."""
    data = tmp_path / "data"
    write_dataset(data, cases=4)
    for file in sorted(data.rglob("*.nii")):
        image, before = nib.load(file, mmap=False), file.read_bytes()
        again = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        again.header["descrip"] = b"another version"
        again.to_filename(file)
        assert file.read_bytes() != before

    assert "all 4 cases" in import_dataset(source, data, ADD)


def test_a_delivery_that_names_another_patient_for_a_case_is_refused(
    tmp_path: Path,
) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    who = {"case_00": "p", "case_01": "q"}
    write_dataset(source, cases=2, patients=who)
    write_dataset(data, cases=2, patients=who)
    options = ImportOptions(add=True)
    assert "all 2 cases" in import_dataset(source, data, options)
    write_dataset(source, cases=2, patients={**who, "case_01": "r"})

    with pytest.raises(
        DataError, match=r"another one for case_01 \(in .*patients\.csv"
    ):
        import_dataset(source, data, options)


def test_the_options_of_a_first_delivery_serve_its_repetition_too(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    options = ImportOptions(
        **{**vars(ADD), "structures": {"ball": 1, "core": 3}, "channels": ("MR",)}
    )
    import_dataset(source, data, options)

    assert "all 4 cases" in import_dataset(source, data, options)


def test_a_data_set_keeps_its_name_whatever_joins(source: Path, tmp_path: Path) -> None:
    """The registered model has that name: another one would have no champion."""
    data = tmp_path / "data"
    write_dataset(data, cases=3)
    text = (data / "dataset.json").read_text()
    (data / "dataset.json").write_text(text.replace("{", '{"name": "Liver",', 1))
    import_dataset(source, data, ADD)

    assert read_description(data).name == "Liver"


@pytest.mark.parametrize(
    ("key", "there", "delivered", "words"),
    [
        ("labels", {"a": 1, "b": 3}, {"a": 3, "b": 1}, "'a' as value 1, .*found 3"),
        ("channel_names", {"0": "CT"}, {"0": "MR", "1": "CT"}, "'CT' as channel 0"),
    ],
)
def test_a_name_with_another_number_in_a_delivery_is_refused(
    key: str,
    there: dict[str, object],
    delivered: dict[str, object],
    words: str,
    tmp_path: Path,
) -> None:
    """Its organs, or its contrasts, would change places in silence."""
    for folder, names in (("data", there), ("source", delivered)):
        write_dataset(tmp_path / folder, cases=1)
        about = json.loads((tmp_path / folder / "dataset.json").read_text())
        about[key] = {"background": 0, **names} if key == "labels" else names
        (tmp_path / folder / "dataset.json").write_text(json.dumps(about))
    for file in sorted((tmp_path / "source").rglob("case_*")):
        file.rename(file.with_name(file.name.replace("case_", "new_")))
    for n in range(1, len(delivered) if key == "channel_names" else 1):
        image = tmp_path / "source" / "imagesTr" / "new_00_0000.nii"
        shutil.copyfile(image, image.with_name(f"new_00_000{n}.nii"))

    with pytest.raises(DataError, match=words):
        import_dataset(tmp_path / "source", tmp_path / "data", ImportOptions(add=True))


SMALL = (6, 5, 4)


def prepare_old_and_new(folder: Path) -> None:
    write_dataset(folder / "new", cases=1, shape=SMALL)
    write_dataset(folder / "data", cases=1, patients={"case_00": "p"}, shape=SMALL)
    patients = folder / "data" / "patients.csv"
    patients.write_text(patients.read_text().replace("case_00", "old"))
    for file in sorted((folder / "data").rglob("case_*")):
        file.rename(file.with_name(file.name.replace("case_00", "old")))
    rows = "case,patient\ncase_00,q\n"
    (folder / "new" / "patients.csv").write_text(rows)


def prepare_new(folder: Path) -> None:
    write_dataset(folder / "new", cases=1, shape=SMALL)


def fresh(folder: Path) -> None:
    import_dataset(folder / "new", folder / "data", ImportOptions())


def add(folder: Path) -> None:
    import_dataset(folder / "new", folder / "data", ImportOptions(add=True))


def give_up(folder: Path) -> None:
    import_dataset(folder / "new", folder / "data", ImportOptions(replace=True))


@pytest.mark.parametrize(
    ("prepare", "act", "repeat"),
    [
        (prepare_new, fresh, add),  # as the refusal says: the data may be there already
        (prepare_old_and_new, add, add),
        (prepare_old_and_new, give_up, give_up),
    ],
)
def test_killed_before_any_step_and_repeated_an_import_ends_the_same(
    prepare: Act, act: Act, repeat: Act, forker: Executor, tmp_path: Path
) -> None:
    """Killed between the two renames and repeated, it left the new cases only."""
    steps = count_kills(forker, tmp_path, prepare=prepare, act=act, repeat=repeat)

    assert steps > 10


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


def test_patients_come_from_the_names(source: Path, tmp_path: Path) -> None:
    names = {"case_00": "12_left", "case_01": "12_right", "case_02": "7_left"}
    for file in source.rglob("case_0*"):
        for old, new in (names | {"case_03": "7_right"}).items():
            if file.name.startswith(old):
                file.rename(file.with_name(file.name.replace(old, new)))

    def take(pattern: str, **options: object) -> None:
        given = {**vars(PAIR), "patient_pattern": pattern, **options}
        import_dataset(source, tmp_path / "data", ImportOptions(**given))

    for pattern in ("(.+", ".+", r"(\d)_left", "(x*).*"):
        with pytest.raises(DataError, match=r"--patient-pattern.*give for example"):
            take(pattern)
    assert not (tmp_path / "data").exists()
    take("(.+)_(left|right)")  # the example of the error
    found = {case.name: case.patient for case in read_dataset(tmp_path / "data").cases}
    assert found == {"12_left": "12", "12_right": "12", "7_left": "7", "7_right": "7"}
    table = tmp_path / "who.csv"
    table.write_text("case,patient\n12_left,1\n")
    with pytest.raises(DataError, match=r"no file of patients beside it, found .*who"):
        take("(.+)_.*", patients=table, replace=True)


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
