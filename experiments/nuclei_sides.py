"""Sides: which images of nuclei all methods learn from, and which none of them sees.

The rule is fixed, so that every method has the same sides and nobody can choose them:
the images are sorted by stain, size and name; every fourth is tested, and every sixth
of the others validates. So each stain and each size is on all sides, in proportion.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Side = Literal["training", "validation", "test"]
TEST_EVERY, VALIDATION_EVERY = 4, 6


@dataclass(frozen=True)
class Row:
    """An image of the set's index.csv.

    Attributes:
        name: Name of its files.
        stain: ``fluorescence`` or ``brightfield``.
        height: Number of rows.
        width: Number of columns.
    """

    name: str
    stain: str
    height: int
    width: int


def read_rows(folder: Path) -> list[Row]:
    """Read the index.csv of the set 2d_dsb2018."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        return [
            Row(
                row["id"],
                row["stain"].split("/")[0],
                int(row["height"]),
                int(row["width"]),
            )
            for row in csv.DictReader(file)
        ]


def choose_sides(rows: list[Row]) -> dict[str, Side]:
    """Side of each image, in the order of the rule.

    Args:
        rows: The images, in any order.
    """
    rows = sorted(rows, key=lambda row: (row.stain, row.height, row.width, row.name))
    sides: dict[str, Side] = {}
    learning = 0
    for number, row in enumerate(rows):
        if number % TEST_EVERY == TEST_EVERY - 1:
            sides[row.name] = "test"
            continue
        validates = learning % VALIDATION_EVERY == 2
        sides[row.name] = "validation" if validates else "training"
        learning += 1
    return sides
