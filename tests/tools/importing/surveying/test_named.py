"""What has a name in its file becomes the structure that the options say."""

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
from tests.support.projects import VERIFY
from tests.support.sources import (
    SHAPE,
    box,
    noise,
    write_coco,
    write_nifti,
    write_png,
    write_slicer,
    write_structures,
)

DRAWN = {"cell": (1, 4), "dirt": (5, 7), "Ignore*": (8, 10)}


def write_segments(source: Path) -> dict[str, str]:
    write_nifti(source / "a.nii.gz", noise(0), drawn=False)
    write_slicer(
        source / "a.seg.nrrd",
        tuple(DRAWN),
        (sum(box(*rows, n) for n, rows in enumerate(DRAWN.values(), start=1)),),
    )
    return {"images": "{case}.nii.gz", "labels": "{case}.seg.nrrd"}


def write_qupath(source: Path) -> dict[str, str]:
    write_png(source / "a.png", noise(0, (*SHAPE[:2], 1)), drawn=False)
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[a, 2], [b, 2], [b, 8], [a, 8], [a, 2]]],
            },
            "properties": {"classification": {"name": name}},
        }
        for name, (a, b) in DRAWN.items()
    ]
    document = {"type": "FeatureCollection", "features": features}
    (source / "a.geojson").write_text(json.dumps(document))
    return {"images": "{case}.png", "labels": "{case}.geojson"}


def write_document(source: Path) -> dict[str, str]:
    write_coco(source, names=tuple(DRAWN))
    return {"labels": "annotations.json"}


def write_masks(source: Path) -> dict[str, str]:
    write_nifti(source / "a.nii.gz", noise(0), drawn=False)
    for name, rows in DRAWN.items():
        write_nifti(source / f"a_{name}_mask.nii.gz", box(*rows))
    return {"images": "{case}.nii.gz", "labels": "{case}_{structure}_mask.nii.gz"}


FORMATS = [write_segments, write_qupath, write_document, write_masks]
Write = Callable[[Path], dict[str, str]]


def taken(
    source: Path, write: Write, texts: list[str], **options: object
) -> ImportOptions:
    source.mkdir(exist_ok=True)
    given = {**write(source), **options}
    return ImportOptions(structures=parse_structures(texts), **given)


KINDS = ["cell=cell", "dirt=dirt"]


@pytest.mark.parametrize(
    ("write", "options", "words"),
    [
        *((w, {"ignore": 255}, "no --ignore .*ignore=NAME") for w in FORMATS[:3]),
        (write_masks, {"ignore": 255}, "found masks of structures"),
        *((w, {"binarize": 99.0}, "no --binarize .*leave it") for w in FORMATS[:3]),
    ],
)
def test_an_option_that_names_cannot_follow_is_refused(
    write: Write, options: dict[str, object], words: str, tmp_path: Path
) -> None:
    given = taken(tmp_path / "s", write, KINDS, **options)

    with pytest.raises(DataError, match=words):
        import_dataset(tmp_path / "s", tmp_path / "data", given)


@pytest.mark.parametrize("write", FORMATS)
def test_a_name_may_say_what_is_not_annotated(write: Write, tmp_path: Path) -> None:
    """Its value is above all others, as nnU-Net wants it."""
    options = taken(tmp_path / "s", write, [*KINDS, "ignore=Ignore*"])
    import_dataset(tmp_path / "s", tmp_path / "data", options)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))

    labels = read_description(tmp_path / "data").labels
    assert labels == {"background": 0, "cell": 1, "dirt": 2, "ignore": 3}
    file = next((tmp_path / "data" / "labelsTr").iterdir())
    assert set(np.unique(read_label(file).array)) == {0, 1, 2, 3}


@pytest.mark.parametrize("write", FORMATS)
def test_the_rest_may_be_a_structure(write: Write, tmp_path: Path) -> None:
    options = taken(tmp_path / "s", write, ["cell=cell", "other=*"])
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    labels = read_description(tmp_path / "data").labels
    assert labels == {"background": 0, "cell": 1, "other": 2}
    file = next((tmp_path / "data" / "labelsTr").iterdir())
    array = read_label(file).array
    assert set(np.unique(array)) == {0, 1, 2}
    if write is not write_document:
        assert (array == 2).sum() == 4 * 6 * array.shape[2]  # rows 5, 6, 8 and 9
    options = ImportOptions(
        **{
            **vars(options),
            "structures": parse_structures([*KINDS, "c=Ignore*", "x=*"]),
        }
    )
    with pytest.raises(DataError, match="x=\\*: expected labels that no other option"):
        import_dataset(tmp_path / "s", tmp_path / "other", options)


def test_what_qupath_ignores_is_proposed_as_not_annotated(tmp_path: Path) -> None:
    write_qupath(tmp_path)
    (options,) = look(tmp_path).proposals

    assert options.structures == {
        "cell": ("cell",),
        "dirt": ("dirt",),
        "ignore": ("Ignore*",),
    }
    for given in (options, taken(tmp_path, write_qupath, [])):
        data = tmp_path / f"data{len(given.structures)}"
        import_dataset(tmp_path, data, given)
        assert read_description(data).labels["ignore"] == 3


def test_no_instance_is_made_of_what_is_not_annotated(tmp_path: Path) -> None:
    texts = ["cell=cell", "ignore=Ignore*"]
    options = taken(tmp_path / "s", write_qupath, texts, instances=True)

    with pytest.raises(DataError, match="expected one structure, found cell, ignore"):
        import_dataset(tmp_path / "s", tmp_path / "data", options)


def test_data_without_ignore_take_none(tmp_path: Path) -> None:
    first = taken(tmp_path / "s", write_masks, KINDS)
    import_dataset(tmp_path / "s", tmp_path / "data", first)
    texts = [*KINDS, "ignore=Ignore*"]
    more = taken(tmp_path / "s", write_masks, texts, add=True)

    with pytest.raises(DataError, match="these data do not have; leave it out"):
        import_dataset(tmp_path / "s", tmp_path / "data", more)


def test_a_folder_of_masks_is_read_whole_if_one_structure_is_the_rest(
    tmp_path: Path,
) -> None:
    write_structures(tmp_path / "s", ("a",))
    options = ImportOptions(
        images="{case}/ct.nii.gz",
        labels="{case}/segmentations/{structure}.nii.gz",
        structures=parse_structures(["liver=liver", "kidney=*"]),
    )
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii.gz").array
    assert np.array_equal(label, box(1, 4, 1) + box(5, 7, 2) + box(8, 10, 2))
