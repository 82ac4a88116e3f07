"""Images and label maps of two folders belong together by their names."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.pairs import find_pairs
from segpipe.tools.importing.finding.sources import RawCases


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def pairs(
    images: Path, labels: Path, *channels: str, label_suffix: str = ""
) -> RawCases:
    return find_pairs(
        images, labels, channel_suffixes=channels, label_suffix=label_suffix
    )


def test_equal_names_are_a_pair_whatever_their_formats(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "x.tif", "y.tif", "notes.txt", ".hidden.png")
    labels = touch(tmp_path / "b", "x.png", "y.png")

    found = pairs(images, labels)
    assert [case.name for case in found.cases] == ["x", "y"]
    assert found.cases[0].label == labels / "x.png"


def test_channels_are_known_by_their_suffixes_in_the_order_told(tmp_path: Path) -> None:
    images = touch(tmp_path, "p1_T1.nii.gz", "p1_FLAIR.nii.gz", "p1_GOLD.nii.gz")

    found = pairs(images, images, "FLAIR", "T1", label_suffix="GOLD")
    (case,) = found.cases
    assert case.name == "p1"
    assert [file.name for file in case.images] == ["p1_FLAIR.nii.gz", "p1_T1.nii.gz"]
    assert found.channels == ("FLAIR", "T1")


def test_nnunets_numbers_count_where_the_labels_say_so(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "x_0000.png", "x_0001.png")
    found = pairs(images, touch(tmp_path / "b", "x.png"))
    dated = pairs(
        touch(tmp_path / "c", "s_2019.png"), touch(tmp_path / "d", "s_2019.png")
    )

    assert [file.name for file in found.cases[0].images] == ["x_0000.png", "x_0001.png"]
    assert dated.cases[0].name == "s_2019"


def test_files_without_a_partner_are_all_named(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "x.png", "y.png")
    labels = touch(tmp_path / "b", "x.png", "z.png")

    with pytest.raises(DataError, match=r"label .*z\.png.*image .*y\.png.*--channel"):
        pairs(images, labels)


def test_a_missing_channel_is_known_by_its_number(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "p1_T1.nii", "p1_T2.nii", "p2_T2.nii")
    labels = touch(tmp_path / "b", "p1.nii", "p2.nii")

    found = pairs(images, labels, "T1", "T2")
    assert [case.missing for case in found.cases] == [(), (0,)]
    assert [file.name for file in found.cases[1].images] == ["p2_T2.nii"]


def test_numbered_and_plain_images_are_not_mixed(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "p1_0000.nii", "p1_0001.nii", "p2.nii")
    labels = touch(tmp_path / "b", "p1.nii", "p2.nii")

    with pytest.raises(DataError, match=r"found images without: .*p2\.nii; rename"):
        pairs(images, labels)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "a", "x.png", "x.tif")

    with pytest.raises(DataError, match=r"x\.tif: expected one file of this name"):
        pairs(images, touch(tmp_path / "b", "x.png"))


def test_a_foreign_format_is_answered_with_how_to_convert_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dcm2niix"):
        pairs(touch(tmp_path / "a", "x.dcm"), touch(tmp_path / "b", "x.png"))
