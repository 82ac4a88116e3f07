"""A pattern says which file is which part of which case."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.patterns import find_by_pattern


def touch(source: Path, *files: str) -> Path:
    for file in files:
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).touch()
    return source


def test_a_folder_for_each_case_holds_its_masks(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"{c}/{f}.nii.gz" for c in "ab" for f in ("ct", "seg/x", "seg/y"))
    )
    found = find_by_pattern(
        tmp_path, "{case}/ct.nii.gz", "{case}/seg/{structure}.nii.gz"
    )

    assert [case.name for case in found.cases] == ["a", "b"]
    assert found.cases[0].drawn.names == ("x", "y")
    assert found.cases[0].drawn.files[1] == tmp_path / "a/seg/y.nii.gz"


def test_the_longest_known_case_is_meant(tmp_path: Path) -> None:
    """a_b is a case of its own, and no structure b of the case a."""
    touch(tmp_path, "a.png", "a_b.png", "a_liver.png", "a_b_liver.png")
    found = find_by_pattern(
        tmp_path, "{case}.png", "{case}_{structure}.png", structures=["liver"]
    )

    assert {case.name: case.drawn.files[0].name for case in found.cases} == {
        "a": "a_liver.png",
        "a_b": "a_b_liver.png",
    }


def test_channels_stand_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub_1_{part}.nii" for part in ("T1", "FLAIR", "GOLD")))
    found = find_by_pattern(
        tmp_path, "{case}_{channel}.nii", "{case}_GOLD.nii", channels=["T1", "FLAIR"]
    )

    assert found.channels == ("T1", "FLAIR")
    (case,) = found.cases
    assert case.name == "sub_1"
    assert [file.name for file in case.images] == ["sub_1_T1.nii", "sub_1_FLAIR.nii"]


def test_one_observer_is_the_reference_and_the_others_are_kept(tmp_path: Path) -> None:
    touch(tmp_path, "i/1.png", "l/1_anna.png", "l/1_bert.png")
    labels = "l/{case}_{observer}.png"
    found = find_by_pattern(tmp_path, "i/{case}.png", labels, reference="bert")

    assert found.cases[0].label.name == "1_bert.png"
    assert list(found.cases[0].observers) == ["anna"]
    for reference in (None, "carl"):
        with pytest.raises(DataError, match=r"found anna, bert; give --reference anna"):
            find_by_pattern(tmp_path, "i/{case}.png", labels, reference=reference)


def test_masks_that_nobody_names_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "a_liver.nii", "a_lung.nii")
    patterns = ("{case}.nii", "{case}_{structure}.nii")
    found = find_by_pattern(tmp_path, *patterns, structures=["liver"])

    assert [file.name for file in found.cases[0].images] == ["a.nii"]
    assert found.cases[0].drawn.names == ("liver",)
    with pytest.raises(DataError, match="found lver, but the labels have liver, lung"):
        find_by_pattern(tmp_path, *patterns, structures=["lver"])


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ("i/{case}.png", "l/*.png", "--labels.*no {case}"),
        ("i/{case}_{structure}.png", "l/{case}.png", "--images.*found {structure}"),
        ("i/{case}.png", "l/{case}_x.png", r"label .*2_x\.png"),
        ("i/{case}.png", "none/{case}.png", "without a partner"),
        ("i/*{case}.png", "l/{case}_x.png", "without a partner"),
    ],
)
def test_a_pattern_that_finds_no_pairs_says_what_is_alone(
    images: str, labels: str, words: str, tmp_path: Path
) -> None:
    touch(tmp_path, "i/1.png", "l/1_x.png", "l/2_x.png")

    with pytest.raises(DataError, match=words):
        find_by_pattern(tmp_path, images, labels)


def test_a_case_without_the_reference_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "i/p.png", "i/q.png", "l/p_A.png", "l/p_B.png", "l/q_B.png")
    labels = "l/{case}_{observer}.png"

    with pytest.raises(DataError, match=r"labels of q by A, .*found those of B"):
        find_by_pattern(tmp_path, "i/{case}.png", labels, reference="A")
