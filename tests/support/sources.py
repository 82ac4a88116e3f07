"""Folders as labs have them, for the tests of the importer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.formats.raster import write_image as write_picture
from segpipe.images.formats.raster import write_label as write_drawn
from segpipe.images.grid import Grid

SHAPE = (12, 10, 6)
GRID = Grid.from_spacing(SHAPE, (1.0, 1.0, 2.0), "mm")


def noise(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, shape).astype(np.int16)


def box(
    start: int, stop: int, value: int = 1, shape: tuple[int, int, int] = SHAPE
) -> np.ndarray:
    """Rows of one value along i, from start to before stop."""
    array = np.zeros(shape, np.uint8)
    array[start:stop, 2:8] = value
    return array


def write_nifti(path: Path, array: np.ndarray, *, drawn: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (write_label if drawn else write_image)(path, array, GRID)


def write_png(path: Path, array: np.ndarray, *, drawn: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if drawn:
        write_drawn(path, array)
    else:
        write_picture(path, array[None])


def write_structures(source: Path, cases: tuple[str, ...] = ("s1", "s2")) -> None:
    """A folder a case, as TotalSegmentator and 3D Slicer write: a mask a structure."""
    for seed, case in enumerate(cases):
        write_nifti(source / case / "ct.nii.gz", noise(seed) - 1000, drawn=False)
        inner = source / case / "segmentations"
        write_nifti(inner / "liver.nii.gz", box(1, 4))
        write_nifti(inner / "kidney_left.nii.gz", box(5, 7, 255))
        write_nifti(inner / "kidney_right.nii.gz", box(8, 10))


def write_observers(source: Path) -> None:
    """Eyes of two patients, drawn twice; the second person draws one row less."""
    flat = (*SHAPE[:2], 1)
    for seed, case in enumerate(("1L", "1R", "2L", "2R")):
        write_png(source / f"{case}.png", noise(seed, flat), drawn=False)
        write_png(source / f"{case}_1stHO.png", box(2, 6, shape=flat))
        write_png(source / f"{case}_2ndHO.png", box(2, 5, shape=flat))


def write_slicer(
    path: Path, names: tuple[str, ...], layers: tuple[np.ndarray, ...]
) -> None:
    """A segmentation of 3D Slicer: the names are of the values from 1, each in order.

    With several layers, the first name is in the first layer, the second in the second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.stack([layer.T for layer in layers], axis=-1).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(
        whole if len(layers) > 1 else whole[..., 0], isVector=len(layers) > 1
    )
    image.SetSpacing(GRID.spacing)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for number, name in enumerate(names):
        several = len(layers) > 1
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(
            f"Segment{number}_LabelValue", "1" if several else str(number + 1)
        )
        image.SetMetaData(f"Segment{number}_Layer", str(number if several else 0))
    SimpleITK.WriteImage(image, str(path))


def write_coco(source: Path, *, names: tuple[str, ...] = ("cell",)) -> None:
    """Two images of 12 x 10 with rectangles of each name, and a file of COCO's."""
    flat = (*SHAPE[:2], 1)
    shapes = []
    for number, case in enumerate(("a", "b")):
        write_png(source / "images" / f"{case}.png", noise(number, flat), drawn=False)
        for place, name in enumerate(names):
            for start in (1, 5):  # as two boxes, of 3 x 2 pixels
                x, y = start, 1 + 4 * place
                corners = [x, y, x + 3, y, x + 3, y + 2, x, y + 2]
                shapes.append(
                    {
                        "id": len(shapes),
                        "image_id": number,
                        "category_id": names.index(name),
                        "segmentation": [corners],
                        "iscrowd": 0,
                    }
                )
    document = {
        "images": [
            {"id": n, "file_name": f"{case}.png", "width": 12, "height": 10}
            for n, case in enumerate(("a", "b"))
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": shapes,
    }
    (source / "annotations.json").write_text(json.dumps(document))


SKY, CELL = 7, 40  # categories of write_panoptic
LARGE = 256 + 65536 * 3  # an id of three bytes


def panoptic_ids() -> np.ndarray:
    """12 x 10 pixels: sky, two cells that touch, a crowd of cells, and void."""
    ids = np.zeros((12, 10), np.int64)
    ids[:, :4] = 70000
    ids[2:5, 4:7], ids[5:8, 4:7], ids[8:11, 8:] = 9, LARGE, 5
    return ids


def write_ids(path: Path, ids: np.ndarray) -> None:
    """Ids as COCO has them: red, green and blue are their lowest bytes, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [ids // 256**place % 256 for place in range(3)]
    write_picture(path, np.stack(parts)[..., None].astype(np.uint8))


def write_panoptic(source: Path, *, ids: np.ndarray | None = None) -> dict[str, Any]:
    """Two images with the ids of each, and COCO's document, which is returned.

    With other ids all of them are cells.
    """
    whole = panoptic_ids() if ids is None else ids
    kinds = {70000: (SKY, 0), 9: (CELL, 0), LARGE: (CELL, 0), 5: (CELL, 1)}
    listed = [int(one) for one in np.unique(whole) if one]
    segments = [
        {"id": one, "category_id": kind, "iscrowd": crowd, "area": 1}
        for one in listed
        for kind, crowd in [(CELL, 0) if ids is not None else kinds[one]]
    ]
    for number, case in enumerate(("a", "b")):
        picture = source / "images" / f"{case}.png"
        write_png(picture, noise(number, (*whole.shape, 1)), drawn=False)
        write_ids(source / "panoptic" / f"{case}.png", whole)
    document = {
        "images": [
            {
                "id": n,
                "file_name": f"{case}.png",
                "width": whole.shape[0],
                "height": whole.shape[1],
            }
            for n, case in enumerate(("a", "b"))
        ],
        "annotations": [
            {"image_id": n, "file_name": f"{case}.png", "segments_info": segments}
            for n, case in enumerate(("a", "b"))
        ],
        "categories": [
            {"id": SKY, "name": "sky", "isthing": 0},
            {"id": CELL, "name": "cell", "isthing": 1},
        ],
    }
    (source / "panoptic.json").write_text(json.dumps(document))
    return document
