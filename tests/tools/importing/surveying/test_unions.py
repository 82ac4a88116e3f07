"""Structures that overlap come in as the unions that options or masks say."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.description import read_description
from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.reading.vocabulary import parse_structures
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.surveying.unions import unite
from tests.support.projects import VERIFY
from tests.support.sources import (
    box,
    noise,
    write_coco,
    write_nifti,
    write_slicer,
)

WHOLE, CORE, ENHANCING = box(1, 9), box(2, 7), box(4, 6)
NESTED = {"enhancing": ENHANCING, "core": CORE, "whole": WHOLE}
LABELS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
RINGS = np.where(ENHANCING, 3, np.where(CORE, 2, WHOLE))


def write_masks(source: Path) -> None:
    for seed, case in enumerate(("a", "b")):
        write_nifti(source / case / "mr.nii.gz", noise(seed), drawn=False)
        for name, mask in NESTED.items():
            write_nifti(source / case / "masks" / f"{name}.nii.gz", mask)


def write_segments(source: Path) -> None:
    """A layer each, as 3D Slicer writes segments that overlap."""
    for seed, case in enumerate(("a", "b")):
        write_nifti(source / f"{case}.nii.gz", noise(seed), drawn=False)
        path = source / f"{case}.seg.nrrd"
        write_slicer(path, tuple(NESTED), tuple(NESTED.values()))


def write_outlines(source: Path) -> None:
    """Rectangles with the corners of the boxes, in one document of two images."""
    write_coco(source, names=tuple(NESTED))
    path = source / "annotations.json"
    document = json.loads(path.read_text())
    sides = {"whole": (1, 9), "core": (2, 7), "enhancing": (4, 6)}
    document["annotations"] = [
        {
            "id": 10 * image + kind,
            "image_id": image,
            "category_id": kind,
            "segmentation": [[low, 2, high, 2, high, 8, low, 8]],
        }
        for image in (0, 1)
        for kind, (low, high) in enumerate(sides[name] for name in NESTED)
    ]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("write", [write_masks, write_segments, write_outlines])
def test_masks_inside_each_other_are_proposed_and_kept_as_unions(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    source, data = tmp_path / "s", tmp_path / "data"
    write(source)
    found = look(source)
    (options,) = found.proposals

    assert options.structures == {
        "whole": ("whole", "core", "enhancing"),
        "core": ("core", "enhancing"),
        "enhancing": ("enhancing",),
    }
    assert options.overlap is None
    assert any("core, enhancing in whole; enhancing in core" in o for o in found.lines)
    import_dataset(source, data, options)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    document = json.loads((data / "dataset.json").read_text())
    assert document["labels"] == LABELS
    assert document["regions_class_order"] == [1, 2, 3]
    label = read_label(next((data / "labelsTr").glob("a.*"))).array
    assert np.array_equal(label, RINGS[..., : label.shape[2]])
    for name, mask in NESTED.items():  # the union is the mask that was drawn
        values = np.atleast_1d(LABELS[name])
        assert np.array_equal(np.isin(label, values), mask[..., : label.shape[2]] != 0)
    again = ImportOptions(**{**vars(options), "add": True})
    assert "all 2 cases" in import_dataset(source, data, again)


def write_maps(source: Path, *cases: str) -> None:
    for seed, case in enumerate(cases):
        write_nifti(source / "images" / f"{case}.nii.gz", noise(seed), drawn=False)
        write_nifti(source / "labels" / f"{case}.nii.gz", RINGS.astype(np.uint8))


UNIONS = ["enhancing=3", "core=2,3", "whole=1,2,3"]


def taken(texts: list[str], **options: object) -> ImportOptions:
    given = {"images": "images", "labels": "labels", **options}
    return ImportOptions(structures=parse_structures(texts), **given)


def test_a_person_states_unions_of_values(tmp_path: Path) -> None:
    """In any order: dataset.json has the large structures first."""
    write_maps(tmp_path / "s", "a")
    import_dataset(tmp_path / "s", tmp_path / "data", taken(UNIONS))

    document = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert list(document["labels"].items()) == list(LABELS.items())
    assert document["regions_class_order"] == [1, 2, 3]
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii.gz").array
    assert np.array_equal(label, RINGS)


def test_more_cases_join_unions_by_the_same_options_or_none(tmp_path: Path) -> None:
    for place, case in (("s", "a"), ("t", "b"), ("u", "c")):
        write_maps(tmp_path / place, case)
    data = tmp_path / "data"
    import_dataset(tmp_path / "s", data, taken(UNIONS))
    import_dataset(tmp_path / "t", data, taken(UNIONS, add=True))
    import_dataset(tmp_path / "u", data, taken([], add=True))

    assert read_description(data).numTraining == 3
    other = taken(["whole=1,2,3", "core=3,2", "enhancing=2"], add=True)
    with pytest.raises(DataError, match=r"enhancing 3, found .*enhancing 2; give each"):
        import_dataset(tmp_path / "s", data, other)


def test_masks_join_unions_with_the_values_of_the_data(tmp_path: Path) -> None:
    """BraTS numbers the enhancing part 4, and the edema 2."""
    write_maps(tmp_path / "s", "x")
    values = np.array([0, 2, 1, 4], np.uint8)[RINGS]
    write_nifti(tmp_path / "s" / "labels" / "x.nii.gz", values)
    write_masks(tmp_path / "t")
    texts = ["whole=1,2,4", "core=1,4", "enhancing=4"]
    import_dataset(tmp_path / "s", tmp_path / "data", taken(texts))
    (options,) = look(tmp_path / "t").proposals
    more = ImportOptions(**{**vars(options), "add": True})
    import_dataset(tmp_path / "t", tmp_path / "data", more)

    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii.gz").array
    assert np.array_equal(label, values)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a=1,2", "b=2,3"], "a voxel of 2 .*give values that several share"),
        (["a=1,2", "b=2"], "found 3; name each, .*'background="),
        (["a=1,2,3", "b=2", "background=3"], "background or all the rest"),
        (["a=1,*", "b=2,*"], "background or all the rest"),
        (["a=1,2", "b=2,1"], "other sources than those of a"),
    ],
)
def test_unions_that_a_label_map_cannot_say_are_refused(
    texts: list[str], words: str, tmp_path: Path
) -> None:
    write_maps(tmp_path / "s", "a")

    with pytest.raises(DataError, match=words):
        import_dataset(tmp_path / "s", tmp_path / "data", taken(texts))


def test_the_rest_may_be_left_out_beside_unions(tmp_path: Path) -> None:
    write_maps(tmp_path / "s", "a")
    texts = ["whole=1,2", "core=2", "background=*"]  # the mend of the error
    import_dataset(tmp_path / "s", tmp_path / "data", taken(texts))

    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii.gz").array
    assert np.array_equal(label, np.where(RINGS == 3, 0, RINGS))


@pytest.mark.parametrize(
    ("texts", "order", "values"),
    [
        (["w=1,2,4", "c=1,4", "e=4"], (2, 1, 4), [2, 1, 4]),  # BraTS
        (["w=1,2", "a=1", "b=2"], (1, 1, 2), [1, 2]),  # no voxel of w alone
    ],
)
def test_the_value_of_a_structure_is_the_one_in_the_fewest_others(
    texts: list[str], order: tuple[int, ...], values: list[int]
) -> None:
    found = unite(parse_structures(texts), named=False)

    assert found.order == order
    assert sorted(found.sources) == sorted(values)


def test_what_lies_outside_of_the_structure_around_it_is_said(tmp_path: Path) -> None:
    """Rows 4 to 7 are 4 x 6 x 6 = 144 voxels, of which row 4 lies in x, too: 36."""
    write_nifti(tmp_path / "a.nii.gz", noise(0), drawn=False)
    for name, mask in (("x", box(1, 5)), ("y", box(4, 8))):
        write_nifti(tmp_path / f"a_{name}_mask.nii.gz", mask)
    options = ImportOptions(
        images="{case}.nii.gz",
        labels="{case}_{structure}_mask.nii.gz",
        structures=parse_structures(["x=x,y", "y=y"]),
    )
    import_dataset(tmp_path, tmp_path / "data", options)

    text = (tmp_path / "data" / "import.json").read_text()
    assert (
        "of its 144 voxels 36 in x: all count for the structures that name it" in text
    )
