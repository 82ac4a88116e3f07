"""COCO's objects are read as pycocotools reads them; a contradiction is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes.coco import is_coco, read_coco
from segpipe.tools.importing.reading.shapes.drawing import stamps
from tests.support.sources import write_coco


def document(segmentation: Any, **more: Any) -> dict[str, Any]:
    """One image of 6 x 5 pixels with one object."""
    return {
        "info": {"year": 2026},
        "images": [{"id": 7, "file_name": "a.png", "width": 6, "height": 5}],
        "categories": [{"id": 3, "name": "cell", "supercategory": "none"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "segmentation": segmentation}
            | more
        ],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def pixels(path: Path) -> np.ndarray:
    """Pixels of the object by row and column."""
    (shape,) = read_coco(path)["a.png"].shapes
    whole = np.zeros((6, 5), bool)
    for (i, j), inside in stamps(path, shape, (6, 5)):
        whole[i, j] |= inside
    return whole.T


# Rows 1 and 2 of columns 2 to 4, and the last pixel.
MASK = np.zeros((5, 6), bool)
MASK[1:3, 2:5] = MASK[4, 5] = True


@pytest.mark.parametrize(
    "segmentation",
    [
        [[2, 1, 5, 1, 5, 3, 2, 3], [5, 4, 6, 4, 6, 5, 5, 5]],
        {"size": [5, 6], "counts": [11, 2, 3, 2, 3, 2, 6, 1]},
        # What pycocotools 2.0.11 encodes this mask as.
        {"size": [5, 6], "counts": ";230003O"},
    ],
)
def test_polygons_and_run_lengths_hold_the_same_pixels(
    segmentation: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.json", document(segmentation))

    assert is_coco(path)
    assert np.array_equal(pixels(path), MASK)


def test_long_runs_are_unpacked_as_pycocotools_packs_them(tmp_path: Path) -> None:
    """The mask in the corner of 100 x 100 pixels; lengths of several letters."""
    packed = document({"size": [100, 100], "counts": "Y62R30003ObU9"})
    packed["images"][0] |= {"width": 100, "height": 100}
    (shape,) = read_coco(write(tmp_path / "a.json", packed))["a.png"].shapes
    ((_, inside),) = stamps(tmp_path, shape, (100, 100))

    assert np.array_equal(inside.T[:5, :6], MASK)
    assert inside.sum() == MASK.sum()


def test_images_without_objects_and_crowds_are_known(tmp_path: Path) -> None:
    content = document([[2, 1, 5, 1, 5, 3]], iscrowd=1)
    content["images"].append({"id": 8, "file_name": "b.png", "width": 6, "height": 5})
    found = read_coco(write(tmp_path / "a.json", content))

    assert found["a.png"].shapes[0].crowd
    assert found["b.png"].shapes == ()
    assert found["b.png"].size == (6, 5)


TWO = [[2, 1, 5, 1, 5, 3]]
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "box only": (document([]), "box says not"),
    "odd": (document([[2, 1, 5, 1, 5]]), "odd number"),
    "two corners": (document([[2, 1, 5, 1]]), "found 2"),
    "NaN": (document([[float("nan"), 1, 5, 1, 5, 3]]), r"annotations\.0"),
    "text": (document([["a", 1, 5, 1, 5, 3]]), r"annotations\.0"),
    "letters": (document({"size": [5, 6], "counts": "!!"}), "packed run lengths"),
    "endless": (document({"size": [5, 6], "counts": "o" * 99}), "packed run lengths"),
    "too short": (document({"size": [5, 6], "counts": [3, 4]}), "found 7"),
    "other size": (document({"size": [6, 5], "counts": [3, 27]}), "found 5 x 6"),
    "other image": (document(TWO, image_id=9), "found image 9"),
    "other category": (document(TWO, category_id=9), "category 9"),
    "huge number": (document([[10**400, 1, 5, 1, 5, 3]]), r"annotations|finite"),
    "huge runs": (
        document({"size": [10**30, 10**30], "counts": [0, 10**60]})
        | {"images": [{"id": 7, "file_name": "a", "width": 10**30, "height": 10**30}]},
        "at most 1073741824 pixels",
    ),
    "category twice": (
        document(TWO) | {"categories": [{"id": 3, "name": n} for n in ("a", "b")]},
        "one category of each id, found 3 twice",
    ),
    "no list": ({"images": [], "annotations": 3, "categories": []}, "annotations"),
    "no size": (
        document(TWO)
        | {"images": [{"id": 7, "file_name": "a", "width": 10**9, "height": 10**9}]},
        "size of a",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_contradicts_itself_is_refused(fault: str, tmp_path: Path) -> None:
    content, words = FAULTS[fault]
    path = write(tmp_path / "a.json", content)

    with pytest.raises(DataError, match=words) as refused:
        read_coco(path)
    assert str(path) in str(refused.value)


def test_damaged_json_and_doubled_images_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = tmp_path / "annotations.json"
    text = path.read_text()
    path.write_text(text[:-20])
    with pytest.raises(DataError, match="export it again"):
        read_coco(path)
    path.write_text(text.replace("b.png", "a.png"))
    with pytest.raises(DataError, match="twice"):
        read_coco(path)
    path.write_text('{"images": 3}')
    assert not is_coco(path)
