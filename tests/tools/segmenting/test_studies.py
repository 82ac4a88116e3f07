import os
from collections.abc import Callable
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.segmenting.studies import find_studies
from tests.support.dicoms import SERIES, write_series
from tests.support.phantoms import write_volume
from tests.support.segmentations import failure, run
from tests.support.segmenters import make_plan, save_segmenter


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(folder: Path, channels: int = 1) -> dict[str, list[str]]:
    studies = find_studies([folder], channels=channels, output=folder / "out")
    return {study.name: [file.name for file in study.files] for study in studies}


def test_images_are_found_however_deep_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b/c/d.nrrd", "b/e.png", "notes.txt", ".x.nii")
    touch(tmp_path, "out/a.nii.gz")

    assert found(tmp_path) == {
        "a": ["a.nii.gz"],
        "b/c/d": ["d.nrrd"],
        "b/e": ["e.png"],
    }


def test_numbers_are_channels_where_the_segmenter_has_several(tmp_path: Path) -> None:
    """With one channel, _0000 is dropped; numbers without a _0000 belong to names."""
    touch(tmp_path, "a_0000.nii", "a_0001.nii", "b_0000.nii", "scan_0007.nii")

    assert found(tmp_path, 2) == {
        "a": ["a_0000.nii", "a_0001.nii"],
        "b": ["b_0000.nii"],
        "scan": ["scan_0007.nii"],
    }
    assert set(found(tmp_path, 1)) == {"a", "b", "scan_0007"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["p_0000.nii", "p_0001.nii"], "found _0000, _0001"),
        (["p_0000.nii", "p_0002.nii.gz"], "found _0000, _0002"),
        (["p.nii", "p_0000.nii", "p_0001.nii"], "found _0000, _0001"),
        (["p_0000.nii", "p_0000.nrrd", "p_0001.nii"], "found _0000, _0000, _0001"),
        (["in/p_0000.nii", "in/p_0001.nii"], "found _0000, _0001"),
    ],
)
def test_another_contrast_is_no_other_patient(
    tmp_path: Path, names: list[str], said: str
) -> None:
    """A segmenter of one channel refuses the case; both mends of the message work."""
    touch(tmp_path, *names)

    (study,) = find_studies([tmp_path], channels=1, output=tmp_path / "out")

    assert study.name.endswith("p")
    assert f"expected 1 channel, {said};" in (study.fault or "")
    (alone,) = find_studies([tmp_path / names[-2]], channels=1, output=tmp_path / "o")
    assert alone.fault is None
    for number, name in enumerate(names):
        (tmp_path / name).rename(tmp_path / f"{number}-{Path(name).name[1:]}")
        ending = Path(name).name.partition(".")[2]
        (tmp_path / f"{number}-{Path(name).name[1:]}").rename(
            tmp_path / f"p-{number}.{ending}"
        )
    apart = find_studies([tmp_path], channels=1, output=tmp_path / "out")
    assert [one.fault for one in apart] == [None] * len(names)


def test_files_named_alike_keep_their_endings_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a.nrrd")

    assert set(found(tmp_path)) == {"a_nii_gz", "a_nrrd"}


def test_dicom_files_of_a_series_are_one_study_named_by_its_uid(tmp_path: Path) -> None:
    files = write_series(tmp_path / "Jane Doe")
    touch(tmp_path, "broken.dcm")

    studies = find_studies([tmp_path], channels=1, output=tmp_path / "out")

    by_name = {study.name: study for study in studies}
    assert set(by_name) == {SERIES, "broken.dcm"}
    assert sorted(by_name[SERIES].files) == sorted(files)
    assert by_name[SERIES].ending == ".dcm"
    assert "expected a DICOM file" in (by_name["broken.dcm"].fault or "")


def test_a_jpeg_gets_a_mask_without_loss(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")

    (study,) = find_studies([tmp_path / "a.jpg"], channels=1, output=tmp_path / "out")
    assert study.ending == ".png"


def test_two_studies_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.nii", "y/a.nii")

    with pytest.raises(DataError, match="expected a name of its own"):
        find_studies(
            [tmp_path / "x", tmp_path / "y"], channels=1, output=tmp_path / "out"
        )


def linked(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "study")
    return folder / "link"


def hard_linked(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "scan.nii").hardlink_to(folder / "study" / "scan.nii")
    return folder / "out"


def soft_linked(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "scan.nii").symlink_to(folder / "study" / "scan.nii")
    return folder / "out"


def same(folder: Path) -> Path:
    return folder / "study"


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["scan.nii"], same),
        (["scan.nii"], lambda folder: folder / "x" / ".." / "study"),
        (["scan.nii"], lambda folder: Path(os.path.relpath(folder / "study"))),
        (["scan.nii"], linked),
        (["scan.nii"], hard_linked),
        (["scan.nii"], soft_linked),
        (["deep/scan.nii.gz"], same),
        (["SCAN.NII"], same),
        (["scan_0000.nii", "Scan.NII"], same),
        (["scan_0000.nii", "scan.json"], same),
        (["scan_0000.nii", "scan_overlay.png"], same),
        (["scan_0000.nii", "scan_probability_liver.nii.gz"], same),
    ],
)
def test_an_output_that_is_an_input_is_refused(
    tmp_path: Path, names: list[str], output: Callable[[Path], Path]
) -> None:
    (tmp_path / "x").mkdir()
    touch(tmp_path / "study", *names)
    place = output(tmp_path)

    with pytest.raises(DataError, match="expected an output that is no input"):
        find_studies([tmp_path / "study"], channels=1, output=place)
    assert find_studies([tmp_path / "study"], channels=1, output=tmp_path / "mended")


@pytest.mark.parametrize(
    "names",
    [["a_0000.nii"], ["a.jpg"], ["a.nhdr"], ["a.jpg", "a.nii"], ["a.jpg", "b.json"]],
)
def test_a_folder_may_take_the_results_if_none_is_called_like_an_input(
    tmp_path: Path, names: list[str]
) -> None:
    touch(tmp_path, *names)

    assert find_studies([tmp_path], channels=1, output=tmp_path)


def test_results_are_known_by_their_manifests_and_are_no_studies(
    tmp_path: Path,
) -> None:
    """Whatever folder is searched; a mask that is named is segmented as any image."""
    model = save_segmenter(tmp_path / "m", make_plan())
    write_volume(tmp_path / "in" / "a.nii")
    run(model, [tmp_path / "in"], tmp_path / "in" / "masks")
    output = tmp_path / "in" / "masks"
    failure("data", case="masks/b").write(output / "b.failed.json")

    def names(*inputs: Path, output: Path = tmp_path / "elsewhere") -> list[str]:
        return [s.name for s in find_studies([*inputs], channels=1, output=output)]

    assert names(tmp_path / "in") == ["a"]
    (tmp_path / "in" / "link").symlink_to(output)
    assert names(tmp_path / "in", output=tmp_path / "in" / "link") == ["a"]
    assert names(output / "a.nii") == ["a"]
    assert names(tmp_path / "in" / "a.nii", output=output) == ["a"]
    (output / ".c.part").mkdir()
    touch(output / ".c.part", "c.nii")
    assert names(tmp_path / "in") == ["a"]
    (output / "a.json").rename(tmp_path / "in" / "a.json")
    assert names(tmp_path / "in") == ["a", "masks/a"]


def test_one_bad_file_is_a_failure_by_name_and_stops_nothing(tmp_path: Path) -> None:
    """Nested, unreadable, lost and misnamed files beside one that is well."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    nested = (
        b"\0" * 128 + b"DICM" + (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + item) * 5000
    )
    for folder in ("x", "y"):
        touch(tmp_path, f"in/{folder}/nested.dcm", f"in/{folder}/empty.dcm")
        (tmp_path / "in" / folder / "nested.dcm").write_bytes(nested)
    (tmp_path / "in" / "lost.nii").symlink_to(tmp_path / "nothing")
    (tmp_path / "in" / os.fsdecode(b"\xe4.nii")).write_bytes(b"x")
    touch(tmp_path, "in/well.nii", "notes.txt")

    studies = find_studies(
        [tmp_path / "in", tmp_path / "notes.txt"], channels=1, output=tmp_path / "out"
    )

    faults = {study.name: study.fault for study in studies}
    assert faults.pop("well") is None
    assert all(faults.values())
    assert len(faults) == 7
    assert {"nested.dcm", "empty.dcm", "lost.nii", "\\xe4.nii", "notes.txt"} < {*faults}
    assert "a link to nothing" in (faults["lost.nii"] or "")
    assert "expected a name in UTF-8" in (faults["\\xe4.nii"] or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "in/a", "in/b/c.nii", "in/well.nii")
    (tmp_path / "in" / "a").chmod(0)
    (tmp_path / "in" / "b").chmod(0)

    studies = find_studies([tmp_path / "in"], channels=1, output=tmp_path / "out")

    (tmp_path / "in" / "b").chmod(0o700)
    faults = {study.name: study.fault or "" for study in studies}
    assert faults["well"] == ""
    assert "Permission denied" in faults["a"]
    assert "found 1 that cannot" in faults["unreadable_folders"]
