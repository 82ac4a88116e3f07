"""Files whose paths differ in the name of the case only are one family."""

import pytest

from segpipe.tools.importing.proposal.families import (
    ending_of,
    find_families,
    words_of,
)

# Paths, and the patterns that a person would see in them.
WAYS: list[tuple[list[str], set[str]]] = [
    (
        [f"{part}/{n:02d}.png" for part in ("images", "labels") for n in range(9)],
        {"images/{case}.png", "labels/{case}.png"},
    ),
    (
        ["i/p7_T1.nii.gz", "i/p7_FLAIR.nii.gz", "l/p7_GOLD.nii.gz"],
        {"i/{case}_T1.nii.gz", "i/{case}_FLAIR.nii.gz", "l/{case}_GOLD.nii.gz"},
    ),
    (
        [f"s{n}/{f}.nii.gz" for n in (1, 2) for f in ("ct", "seg/liver", "seg/lung")],
        {"{case}/ct.nii.gz", "{case}/seg/liver.nii.gz", "{case}/seg/lung.nii.gz"},
    ),
    (
        [f"{part}-{n}.nii" for part in ("volume", "segmentation") for n in range(3)],
        {"volume-{case}.nii", "segmentation-{case}.nii"},
    ),
    (
        ["img2d.tif", "mask2d.tif"],
        {"img{case}.tif", "mask{case}.tif"},
    ),
    (
        ["im/12_left.png", "im/12_right.png", "m/12_left.png", "m/12_right.png"],
        {"im/{case}.png", "m/{case}.png"},
    ),
    (
        ["scans/a.nii", "scans/b.nii", "masks/a/x.nii", "masks/b/x.nii"],
        {"scans/{case}.nii", "masks/{case}/x.nii"},
    ),
]


@pytest.mark.parametrize(("paths", "patterns"), WAYS)
def test_the_best_way_is_that_which_a_person_sees(
    paths: list[str], patterns: set[str]
) -> None:
    best = find_families(paths)[0]

    assert {family.pattern for family in best} == patterns
    assert sorted(p for family in best for p in family.files.values()) == sorted(paths)


def test_unrelated_files_are_no_families() -> None:
    assert find_families(["a.png"]) == []
    assert find_families([]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imagesTr", ["images", "tr"]),
        ("{case}_1stHO", ["1st", "ho"]),
        ("sub-1_seg-manual", ["sub", "1", "seg", "manual"]),
        ("GOLD_STANDARD", ["gold", "standard"]),
    ],
)
def test_names_are_read_in_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_two_endings_are_one() -> None:
    assert ending_of("a/b.nii.gz") == ".nii.gz"
    assert ending_of("a/B.PNG") == ".PNG"
    assert ending_of("a/notes.txt") == ""
