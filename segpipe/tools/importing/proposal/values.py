"""Values of label files: what a sample of them holds, and what that means."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cc3d
import numpy as np
from jaxtyping import Bool

from segpipe.images.formats.files import read_image
from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.reading.labels import LabelRules, read_label_map

MOST_FILES = 24  # label files that are looked at
BUDGET_S = 3.0  # for each question to the files; at least one is read
FEW = 5  # values of structures; instances of a sample are more
SURELY = 20  # so many values of one piece each in one file are instances
PIECES = 1.15  # connected pieces a value: organs are cut by the edge, instances are not
OPEN = (0.6, 0.9)  # share of values that two files have in common: may be either
INSIDE = 0.99  # share of a mask that lies in another one, of which it is a part
GREY = 100  # a highest value from which a mask is grey rather than numbered
IGNORE, NUMBERED = 255, 30  # a value that may mean not annotated, beside small ones


@dataclass(frozen=True)
class Sample:
    """What some label files hold.

    Attributes:
        files: Number of voxels of each value, of each file that was read.
        pieces: Connected pieces a value beside 0, of each file with many values.
        total: Number of label files that there are.
        highest: The highest value of files that are grey, or lossy, and no label maps
            as they are; None if there is no such file.
    """

    files: tuple[dict[int, int], ...]
    pieces: tuple[float, ...]
    total: int
    highest: float | None = None

    @property
    def counts(self) -> dict[int, int]:
        """Number of voxels of each value in all files together."""
        return dict(sorted(sum(map(Counter, self.files), Counter()).items()))

    @property
    def values(self) -> list[int]:
        """All values beside 0."""
        return [value for value in self.counts if value]


def take_sample(paths: Sequence[Path], *, key: str = "label") -> Sample:
    """Read some label files, evenly taken from all, until the time is up.

    Args:
        paths: All label files.
        key: Data set of the label map in HDF5 files.

    Raises:
        DataError: If a file is damaged, or has colours.
    """
    step = max(1, -(-len(paths) // MOST_FILES))
    files: list[dict[int, int]] = []
    pieces: list[float] = []
    highest: float | None = None
    start = time.monotonic()
    chosen = paths[::step]
    for path in track(chosen, "look at labels", total=len(chosen), unit="file"):
        if files and time.monotonic() - start > BUDGET_S:
            break
        try:
            array = read_label_map(path, rules=LabelRules(key=key)).array
        except DataError:
            image = read_image(path).array
            if len(image) > 2 and (image[:3] != image[:1]).any():
                raise  # coloured: the reader says what to do
            highest = max(highest or 0.0, float(image[0].max()))
            array = np.rint(image[0]).astype(np.int32)
        values, counts = np.unique(array, return_counts=True)
        files.append(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        inside = int((values != 0).sum())
        if inside > FEW:
            _, number = cc3d.connected_components(array.astype(np.int32), return_N=True)
            pieces.append(number / inside)
    return Sample(tuple(files), tuple(pieces), len(paths), highest)


def binarize_at(sample: Sample) -> float | None:
    """The threshold if the files are masks with greys between 0 and a high value."""
    if sample.highest is not None:
        return 0.5 if sample.highest <= 1 else float((int(sample.highest) + 1) // 2)
    counts = sample.counts
    values = sample.values
    if len(values) < 2 or values[-1] < GREY or counts.keys() <= {0, 1, IGNORE}:
        return None
    inside = sum(counts[value] for value in values)
    between = inside - counts[values[-1]]
    numbered = all(value <= NUMBERED for value in values[:-1]) and len(values) < SURELY
    greys = between < 0.3 * inside and not numbered
    return float((values[-1] + 1) // 2) if greys else None


@dataclass(frozen=True)
class Overlaps:
    """How masks of some cases lie to each other.

    Attributes:
        sizes: Voxels of each name.
        shared: Voxels that two names have in common.
    """

    sizes: Counter[str]
    shared: Counter[frozenset[str]]

    def inside(self, outer: str) -> tuple[str, ...]:
        """The names that lie inside of one, but for their edge, the largest first."""
        found, size = [], self.sizes
        for name in size:
            held = self.shared[frozenset({outer, name})]
            if 0 < size[name] < size[outer] and held >= INSIDE * size[name]:
                found.append(name)
        return tuple(sorted(found, key=lambda name: -size[name]))

    def unions(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The masks that each structure unites, the largest structures first."""
        ordered = sorted(names, key=lambda name: -self.sizes[name])
        return {name: (name, *self.inside(name)) for name in ordered}

    @property
    def undecided(self) -> bool:
        """Whether names share voxels, and none of the two lies inside the other."""
        return any(
            number and not any(({*pair} - {one}) <= {*self.inside(one)} for one in pair)
            for pair, number in self.shared.items()
        )


def measure_overlaps(
    cases: Iterable[Iterable[tuple[str, Bool[np.ndarray, "..."]]]],
) -> Overlaps:
    """Measure the names and masks of some cases, as far as time allows."""
    found, start = Overlaps(Counter(), Counter()), time.monotonic()
    for masks in cases:
        packed: dict[str, tuple[tuple[int, ...], np.ndarray]] = {}
        for name, mask in masks:
            bits = np.packbits(mask)
            found.sizes[name] += int(mask.sum())
            for other, (shape, before) in packed.items():
                if shape == mask.shape:
                    both = int(np.bitwise_count(bits & before).sum(dtype=np.int64))
                    found.shared[frozenset({name, other})] += both
            packed[name] = mask.shape, bits
            if time.monotonic() - start > BUDGET_S:
                return found
    return found


def are_instances(sample: Sample) -> bool | None:
    """Whether the values are ids of instances; None if the sample cannot tell."""
    values = sample.values
    if len(values) > 200:
        return True
    if not sample.pieces or (values and values[0] < 0):
        return False
    if np.mean(sample.pieces) > PIECES:
        return False
    sets = [set(one) - {0} for one in sample.files]
    if len(sets) >= 3:
        alike = [
            len(one & other) / max(1, len(one | other)) for one, other in pairwise(sets)
        ]
        shared = float(np.mean(alike))
        return None if OPEN[0] <= shared <= OPEN[1] else shared < OPEN[0]
    return True if max(map(len, sets)) >= SURELY else None


def one_value_each(sample: Sample) -> bool:
    """Whether every file has one value, but not the same: 1-bit and 8-bit masks."""
    single = all(len(set(one) - {0}) <= 1 for one in sample.files)
    return single and len(sample.values) > 1 and set(sample.values) <= {1, 255}


def may_ignore(sample: Sample) -> bool:
    """Whether 255 beside small values may mean not annotated."""
    values = sample.values
    return IGNORE in values and len(values) > 1 and values[-2] <= NUMBERED


def look_drawn(path: Path) -> bool:
    """Whether a file of which the name says nothing looks like labels, not an image.

    Labels are whole numbers, few, or in pieces of one value.
    """
    try:
        array = read_image(path).array
    except DataError:
        return False
    if len(array) in (3, 4) and (array[:3] != array[:1]).any():
        return False
    grey = array[0]
    if (grey != np.rint(grey)).any():
        return False
    values = np.unique(grey)
    if len(values) <= 3:
        return True
    near = [(grey[1:], grey[:-1]), (grey[:, 1:], grey[:, :-1])]
    drawn = [((a != 0) | (b != 0)) for a, b in near]
    same = sum(int(((a == b) & d).sum()) for (a, b), d in zip(near, drawn, strict=True))
    return same > 0.7 * sum(int(d.sum()) for d in drawn)
