"""A document's images are found by name, inside the source only, and come in."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.documents import (
    case_names,
    find_drawn,
    find_images,
    is_document,
)
from segpipe.tools.importing.reading.shapes.drawing import Drawing
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.sources import noise, write_coco, write_png

DOCUMENT = "annotations.json"
FLAT = (12, 10, 1)


def rectangles(*values: int) -> np.ndarray:
    """The rectangles of write_coco with these values, by index."""
    array = np.zeros(FLAT, int)
    for place, value in enumerate(values):
        x, y = (1, 5)[place % 2], 1 + 4 * (place // 2)
        array[x : x + 3, y : y + 2] = value
    return array


def test_kinds_are_chosen_and_named_as_all_structures(tmp_path: Path) -> None:
    write_coco(tmp_path / "s", names=("cell", "dirt"))
    options = ImportOptions(labels=DOCUMENT, structures={"nucleus": ("cell",)})
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    drawn = read_label(tmp_path / "data" / "labelsTr" / "a.png")
    assert np.array_equal(drawn.array, rectangles(1, 1))
    line = read_ledger(tmp_path / "data")[1]
    assert (line.file, line.case, line.read_as) == (DOCUMENT, "a", "shapes")
    assert line.dropped == ("shapes that are not asked for: 2 of dirt",)


def test_kinds_that_no_option_names_get_numbers_by_name(tmp_path: Path) -> None:
    write_coco(tmp_path / "s", names=("dirt", "cell"))
    import_dataset(tmp_path / "s", tmp_path / "data", ImportOptions(labels=DOCUMENT))

    drawn = read_label(tmp_path / "data" / "labelsTr" / "b.png")
    assert np.array_equal(drawn.array, rectangles(2, 2, 1, 1))


def test_shapes_become_instances_of_one_structure(tmp_path: Path) -> None:
    write_coco(tmp_path / "s", names=("cell", "dirt"))
    options = ImportOptions(
        labels=DOCUMENT, instances=True, structures={"any": ("cell", "dirt")}
    )
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    ids = read_label(tmp_path / "data" / "instancesTr" / "a.png")
    assert np.array_equal(ids.array, rectangles(1, 2, 3, 4))
    drawn = read_label(tmp_path / "data" / "labelsTr" / "a.png")
    assert np.array_equal(drawn.array, rectangles(1, 1, 1, 1))
    with pytest.raises(DataError, match=r"found cell, dirt.*NAME=SOURCE,SOURCE"):
        import_dataset(
            tmp_path / "s",
            tmp_path / "other",
            ImportOptions(labels=DOCUMENT, instances=True),
        )


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path / "s")
    options = ImportOptions(labels=DOCUMENT, structures={"a": ("celll",)})

    with pytest.raises(DataError, match="found celll, but the labels have cell"):
        import_dataset(tmp_path / "s", tmp_path / "data", options)


def test_an_image_that_is_missing_or_there_twice_is_refused_with_its_name(
    tmp_path: Path,
) -> None:
    write_coco(tmp_path)
    write_png(tmp_path / "old" / "a.png", noise(3, FLAT), drawn=False)
    with pytest.raises(DataError, match=r"several of a\.png: .*--images FOLDER"):
        find_drawn(tmp_path, None, DOCUMENT)
    cases = find_drawn(tmp_path, "images", DOCUMENT).cases
    assert [case.images[0].parent.name for case in cases] == ["images", "images"]
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(DataError, match=r"none or several of b\.png"):
        find_drawn(tmp_path, "images", DOCUMENT)


def test_no_file_outside_the_source_is_read(tmp_path: Path) -> None:
    write_coco(tmp_path / "s")
    write_png(tmp_path / "out.png", noise(3, FLAT), drawn=False)
    path = tmp_path / "s" / DOCUMENT
    content = json.loads(path.read_text())
    for name in ("../out.png", str(tmp_path / "out.png")):
        content["images"][0]["file_name"] = name
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match="none or several of"):
            find_drawn(tmp_path / "s", None, DOCUMENT)


def test_names_of_cases_are_told_apart_by_folders() -> None:
    assert case_names(["x/a.png", "y\\a.png", "y/b.png"]) == {
        "x/a.png": "x_a",
        "y\\a.png": "y_a",
        "y/b.png": "b",
    }


def test_a_document_is_no_folder_and_no_pattern() -> None:
    assert is_document("a/instances.JSON")
    assert not is_document("labels")
    assert not is_document("{case}.json")


@pytest.mark.parametrize(
    ("files", "names", "wanted"),
    [
        (["train/1.png"], ["val/1.png", "train/1.png"], [[], ["train/1.png"]]),
        (["a/1.png", "b/2.png"], ["x/1.png", "x/2.png"], [[], []]),
        (["a/1.png", "a/2.png"], ["x/1.png", "x/2.png"], [["a/1.png"], ["a/2.png"]]),
        (["a/1.png"], ["/home/me/1.png"], [["a/1.png"]]),
    ],
)
def test_an_image_of_another_folder_is_not_taken_for_one_of_its_name(
    tmp_path: Path, files: list[str], names: list[str], wanted: list[list[str]]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    empty = dict.fromkeys(names, Drawing(()))

    found = find_images(tmp_path, None, empty)

    assert list(found.values()) == [[tmp_path / one for one in of] for of in wanted]


def test_an_absolute_name_becomes_a_plain_case() -> None:
    names = case_names(["/tmp/1.png", "/q/1.png", "/q/2.png"])

    assert list(names.values()) == ["tmp_1", "q_1", "2"]
