"""A mask of each instance becomes ids; shared voxels are never lost in silence."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.instances import join_masks
from tests.support.sources import GRID, SHAPE, box

FILES = [Path("b.png"), Path("c.png"), Path("a.png")]


def masks(*arrays: np.ndarray) -> list[tuple[Path, LabelMap]]:
    found = [LabelMap(array, GRID) for array in arrays]
    return list(zip(FILES[: len(found)], found, strict=True))


def test_masks_are_numbered_in_their_order() -> None:
    dropped: dict[Path, list[str]] = defaultdict(list)
    drawn = masks(box(1, 3, 255), box(0, 0), box(5, 7))
    found = join_masks(drawn, overlap=None, dropped=dropped)

    assert np.array_equal(found.array, box(1, 3, 1) + box(5, 7, 3))
    assert dropped == {FILES[1]: ["an empty mask"]}


@pytest.mark.parametrize(
    ("overlap", "wanted"),
    [
        ("first", box(1, 4, 1) + box(4, 6, 2)),
        ("last", box(1, 3, 1) + box(3, 6, 2)),
    ],
)
def test_a_voxel_of_two_instances_is_refused_or_goes_to_one(
    overlap: str, wanted: np.ndarray
) -> None:
    """Row 3 lies in both: 6 x 6 voxels."""
    drawn = masks(box(1, 4), box(3, 6))
    dropped: dict[Path, list[str]] = defaultdict(list)

    with pytest.raises(DataError, match=r"c\.png.*found 36 .* in b\.png; .*--overlap"):
        join_masks(drawn, overlap=None, dropped=dropped)
    found = join_masks(drawn, overlap=overlap, dropped=dropped)
    assert np.array_equal(found.array, wanted)
    assert dropped == {
        FILES[1]: [f"36 voxels of two instances, which the {overlap} has"]
    }


def test_masks_of_two_grids_are_refused() -> None:
    grid = Grid.from_spacing(SHAPE, (1.0, 1.0, 3.0), "mm")
    small = LabelMap(box(1, 3), grid)
    other = [(FILES[0], LabelMap(box(1, 3), GRID)), (FILES[1], small)]

    with pytest.raises(DataError, match=r"c\.png: expected the grid of b\.png"):
        join_masks(other, overlap=None, dropped={})
