"""Names of files say what is an image, a label, a structure, a channel, an observer."""

import pytest

from segpipe.tools.importing.proposal.families import find_families
from segpipe.tools.importing.proposal.roles import (
    Layout,
    common_pattern,
    find_layouts,
)


def layouts(*paths: str, drawn: str = "") -> list[Layout]:
    """What is found; of files whose names say nothing, those with a word are labels."""
    for way in find_families(list(paths)):
        found = find_layouts(way, lambda f: bool(drawn) and drawn in f.pattern)
        if found is not None:
            return found
    return []


# Patterns, and what the differing words of all of them are.
JOINED: list[tuple[list[str], str, tuple[str, ...]]] = [
    (["{case}_axon.png", "{case}_myelin.png"], "{case}_{x}.png", ("axon", "myelin")),
    (
        ["l/{case}_seg-axon-manual.png", "l/{case}_seg-myelin-manual.png"],
        "l/{case}_seg-{x}-manual.png",
        ("axon", "myelin"),
    ),
    (
        ["{case}/kidney_left.nii.gz", "{case}/kidney_right.nii.gz"],
        "{case}/{x}.nii.gz",
        ("kidney_left", "kidney_right"),
    ),
    (["{case}_0000.nii", "{case}_0001.nii"], "{case}_{x}.nii", ("0000", "0001")),
    (["{case}_seg.nii", "{case}_seg_new.nii"], "", ()),
    (["a/{case}.nii", "b/c/{case}.nii"], "", ()),
]


@pytest.mark.parametrize(("patterns", "joined", "names"), JOINED)
def test_patterns_that_differ_in_one_word_are_one(
    patterns: list[str], joined: str, names: tuple[str, ...]
) -> None:
    assert common_pattern(patterns, "{x}") == (joined, names)


def test_masks_of_structures_are_told_from_drawings_of_two_people() -> None:
    (masks,) = layouts("1.png", "1_axon.png", "1_myelin.png", drawn="_")
    (people,) = layouts("1.jpg", "1_1stHO.png", "1_2ndHO.png")

    assert (masks.images, masks.labels) == ("{case}.png", "{case}_{structure}.png")
    assert masks.structures == ("axon", "myelin")
    assert people.labels == "{case}_{observer}.png"
    assert people.observers == ("1stHO", "2ndHO")


def test_channels_are_images_that_differ_in_one_word() -> None:
    (found,) = layouts("p7_T1.nii", "p7_FLAIR.nii", "p7_lesion_mask.nii")

    assert (found.images, found.channels) == ("{case}_{channel}.nii", ("FLAIR", "T1"))
    assert found.labels == "{case}_lesion_mask.nii"
    assert found.name == "lesion"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("1_liver.nii", "liver"),
        ("1_mask.nii", ""),
        ("1_GOLD_STANDARD.nii", ""),
        ("1_seg-manual.nii", ""),
        ("1_cp_masks.nii", ""),
    ],
)
def test_the_name_of_the_only_structure_is_what_no_plain_word_is(
    label: str, name: str
) -> None:
    (found,) = layouts("1.nii", label, drawn="_")

    assert found.name == name


def test_two_labels_that_are_no_parts_of_one_are_two_layouts() -> None:
    found = layouts("t2.nii", "l/t2_seg-manual.nii", "l/t2_seg-manual_labeled.nii")

    assert [one.labels for one in found] == [
        "l/{case}_seg-manual.nii",
        "l/{case}_seg-manual_labeled.nii",
    ]


def test_a_preview_beside_volumes_is_no_channel() -> None:
    (found,) = layouts("1/ct.nii", "1/preview.png", "1/seg.nii")

    assert found.images == "{case}/ct.nii"
    assert found.cases == ["1"]


@pytest.mark.parametrize(
    "paths",
    [
        ("images/hip_118.nii", "labels/hip_010.nii"),  # of two cases
        tuple(f"{c}/{p}" for c in "12" for p in ("images/i.png", f"masks/{c}a.png")),
    ],
)
def test_labels_of_other_cases_and_masks_of_instances_are_no_layout(
    paths: tuple[str, ...],
) -> None:
    assert layouts(*paths) == []


def test_images_alone_are_no_layout() -> None:
    assert layouts("images/1.png", "images/2.png") == []
