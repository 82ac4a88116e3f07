"""The embedded example data set: blocks of tissue with cells and a vessel.

All arithmetic is on integers, so that every machine writes the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int16, Int64

from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.grid import Grid, Orientation, Triple
from segpipe.project.documents import write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import md5_folder
from segpipe.tools.importing.writing.replacing import is_filled, replaced, sole_import

PHANTOM_MD5 = "5c09852d0523ae151dbc20c834ba867a"  # as DVC computes it for a folder
CELL, VESSEL = 1, 3  # values need not be consecutive
WALL = 2400  # difference of two powers: about 1.2 mm between cells of 6 mm
STEP_MM = 0.05  # all lengths are whole multiples
PATIENTS = (1, 1, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14)
SITES = ("north", "south")  # of the patients, in turn
# Pythagorean triples: rotations whose sine and cosine are fractions.
TILTS = ((9, 40, 41), (11, 60, 61), (7, 24, 25), (0, 1, 1))
STORED = (
    Orientation((0, 1, 2), (False, False, False)),
    Orientation((0, 1, 2), (True, True, False)),
    Orientation((1, 0, 2), (False, True, True)),
    Orientation((0, 2, 1), (True, False, False)),
)


def write_phantom(data: Path) -> None:
    """Write the embedded data set in the nnU-Net v2 layout, unless it is there already.

    It has twenty volumes of fourteen patients from two sites, with instance ids of the
    cells.

    Raises:
        DataError: If the folder holds anything else.
    """
    with sole_import(data):
        if is_phantom(data):
            return
        if is_filled(data):
            raise DataError(
                f"{data}: expected an empty folder or the untouched example, found "
                "other data, which are left unchanged. Run `dvc repro` to use them, or "
                "move them away to write the example"
            )
        with replaced(data) as part:
            _write_cases(part)


def _write_cases(part: Path) -> None:
    rows = ["case,patient,site"]
    for number, patient in enumerate(PATIENTS):
        name = f"block_{number:02d}"
        _write_case(part, name, number, patient)
        rows.append(f"{name},patient_{patient:02d},{SITES[patient % 2]}")
    write_text(part / "patients.csv", "\n".join(rows) + "\n")
    write_json(
        part / "dataset.json",
        {
            "name": "Phantom",
            "channel_names": {"0": "fluorescence"},
            "labels": {"background": 0, "cell": CELL, "vessel": VESSEL},
            "numTraining": len(PATIENTS),
            "file_ending": ".nii",
        },
    )


def is_phantom(data: Path) -> bool:
    """Whether a folder holds the embedded data set, unchanged."""
    return data.is_dir() and md5_folder(data) == PHANTOM_MD5


class _RandomNumbers:
    """Whole random numbers by SplitMix64, independent of any library's generator.

    Source:
        Steele 2014, doi:10.1145/2660193.2660195.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed * 1_000_003 % 2**64

    def integer(self, low: int, high: int) -> int:
        """A random number from low to high, both included."""
        return low + int(self._many(1)[0] % np.uint64(high - low + 1))

    def noise(self, shape: Triple) -> Int64[np.ndarray, "i j k"]:
        """Nearly normal noise: sums of eight bytes, mean 0, standard deviation 209."""
        bits = self._many(int(np.prod(shape))).reshape(shape)
        total = np.zeros(shape, dtype=np.int64)
        for byte in range(8):
            shifted = bits >> np.uint64(8 * byte)
            total += (shifted & np.uint64(255)).astype(np.int64)
        return total - 1020

    def _many(self, count: int) -> np.ndarray:
        golden = 0x9E3779B97F4A7C15
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(golden)
        z = steps + np.uint64(self._state)  # wraps around, as it should
        self._state = (self._state + count * golden) % 2**64
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, eq=False)
class _Anatomy:
    """The voxels of each kind of tissue."""

    tissue: Bool[np.ndarray, "i j k"]
    cells: Int16[np.ndarray, "i j k"]
    membrane: Bool[np.ndarray, "i j k"]
    vessel: Bool[np.ndarray, "i j k"]
    debris: Bool[np.ndarray, "i j k"]


def _write_case(data: Path, name: str, number: int, patient: int) -> None:
    random = _RandomNumbers(number + 1)
    south = patient % 2 == 1
    spacing = (9, 9, 24) if south else (10, 10, 20)
    shape = (random.integer(46, 50), random.integer(44, 48), random.integer(20, 23))
    anatomy = _build_anatomy(random, shape, spacing)
    image = _build_image(random, anatomy, south=south)
    label = np.where(anatomy.cells > 0, CELL, 0).astype(np.int16)
    label[anatomy.vessel] = VESSEL
    grid = _build_grid(random, shape, spacing)
    stored = STORED[number % len(STORED)]
    grid = grid.reoriented(stored)

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(stored.apply(array))

    write_image(data / "imagesTr" / f"{name}_0000.nii", turned(image), grid)
    write_label(data / "labelsTr" / f"{name}.nii", turned(label).astype(np.uint8), grid)
    ids = turned(anatomy.cells).astype(np.uint8)
    write_label(data / "instancesTr" / f"{name}.nii", ids, grid)


def _build_grid(random: _RandomNumbers, shape: Triple, spacing: Triple) -> Grid:
    """An oblique grid, turned about k, then about i."""
    affine = np.diag([*(step * STEP_MM for step in spacing), 1.0])
    for axes in ((0, 1), (1, 2)):
        opposite, adjacent, hypotenuse = TILTS[random.integer(0, len(TILTS) - 1)]
        turn = np.eye(4)
        turn[axes[0], axes[0]] = turn[axes[1], axes[1]] = adjacent / hypotenuse
        turn[axes[0], axes[1]] = -opposite / hypotenuse
        turn[axes[1], axes[0]] = opposite / hypotenuse
        affine = turn @ affine
    affine[:3, 3] = [random.integer(-100, 100) / 4 for _ in range(3)]
    return Grid(shape, affine, "mm")


def _build_anatomy(random: _RandomNumbers, shape: Triple, spacing: Triple) -> _Anatomy:
    axes = [np.arange(n) * step for n, step in zip(shape, spacing, strict=True)]
    where = list(np.meshgrid(*axes, indexing="ij"))
    extent = [(n - 1) * step for n, step in zip(shape, spacing, strict=True)]
    tissue = np.ones(shape, dtype=bool)
    for place, end in zip(where, extent, strict=True):
        low, high = random.integer(20, 50), end - random.integer(20, 50)
        tissue &= (place >= low) & (place <= high)
    vessel = _build_vessel(random, where, extent) & tissue
    cells, membrane = _build_cells(random, where, extent)
    cells[vessel | ~tissue] = 0
    debris = np.zeros(shape, dtype=bool)
    for _ in range(random.integer(3, 6)):
        center = [random.integer(30, end - 30) for end in extent]
        debris |= _squares(where, center) < random.integer(14, 24) ** 2
    return _Anatomy(tissue, cells, membrane, vessel, debris & tissue)


def _squares(where: list[np.ndarray], center: list[int]) -> Int64[np.ndarray, "i j k"]:
    """Squared distance of each voxel from a center, along the axes that are given."""
    squares = [(place - at) ** 2 for place, at in zip(where, center, strict=True)]
    return np.asarray(np.sum(squares, axis=0, dtype=np.int64))


def _build_vessel(
    random: _RandomNumbers, where: list[np.ndarray], extent: list[int]
) -> Bool[np.ndarray, "i j k"]:
    """A bent tube below the cells, from side to side: 65 balls along a parabola."""
    ends = [
        [end, random.integer(80, extent[1] - 80), random.integer(75, 100)]
        for end in (0, extent[0])
    ]
    bend = [0, random.integer(-90, 90), random.integer(-25, 25)]
    radius = random.integer(30, 40)
    vessel = np.zeros(where[0].shape, dtype=bool)
    for t in range(65):
        center = [
            (first * (64 - t) + last * t) // 64 + 4 * bow * t * (64 - t) // 4096
            for first, last, bow in zip(*ends, bend, strict=True)
        ]
        vessel |= _squares(where, center) < radius**2
    return vessel


def _build_cells(
    random: _RandomNumbers, where: list[np.ndarray], extent: list[int]
) -> tuple[Int16[np.ndarray, "i j k"], Bool[np.ndarray, "i j k"]]:
    """A layer of upright cells that press against each other, and their membranes.

    A cell is a ball stretched along k. Each voxel belongs to the ball with the lowest
    power (squared distance minus squared radius), so that two overlapping balls share a
    flat wall.
    """
    balls: list[tuple[list[int], int]] = []
    for _ in range(600):
        radius = random.integer(50, 80)
        center = [random.integer(60, end - 60) for end in extent[:2]]
        center.append(extent[2] - random.integer(155, 185))
        # Balls may overlap by at most a quarter of the sum of their radii.
        if all(
            16 * sum((a - b) ** 2 for a, b in zip(center[:2], other[:2], strict=True))
            > 9 * (radius + size) ** 2
            for other, size in balls
        ):
            balls.append((center, radius))
    cells = np.zeros(where[0].shape, dtype=np.int16)
    lowest = np.zeros(where[0].shape, dtype=np.int64)
    second = np.zeros(where[0].shape, dtype=np.int64)
    for number, (center, radius) in enumerate(balls, start=1):
        along_k = 4 * _squares(where[2:], center[2:]) // 9
        power = _squares(where[:2], center[:2]) + along_k - radius**2
        nearer = power < lowest
        second = np.where(nearer, lowest, np.minimum(second, power))
        lowest = np.where(nearer, power, lowest)
        cells[nearer] = number
    membrane = (cells > 0) & (second < 0) & (second - lowest < WALL)
    return cells, membrane


def _build_image(
    random: _RandomNumbers, anatomy: _Anatomy, *, south: bool
) -> Int16[np.ndarray, "i j k"]:
    """Brightness by cell, blur, bias field and noise; less contrast in the south."""
    gain = 3 if south else 4
    image = np.where(anatomy.tissue, 900, 300).astype(np.int64)
    image[anatomy.debris] += 140 * gain
    for cell in range(1, int(anatomy.cells.max()) + 1):
        image[anatomy.cells == cell] += random.integer(110, 230) * gain
    image[anatomy.membrane] -= 200 * gain
    image[anatomy.vessel] += random.integer(250, 320) * gain
    for axis in range(3):
        image = _blurred(image, axis)
    places = np.meshgrid(*(np.arange(n) for n in image.shape), indexing="ij")
    bias = np.full(image.shape, 4096, dtype=np.int64)
    for place, size in zip(places, image.shape, strict=True):
        bias += (2 * place - size) * random.integer(-1000, 1000) // size
    image = image * bias // 4096
    strength = random.integer(8, 13) if south else random.integer(5, 10)
    image += random.noise(anatomy.cells.shape) * strength // 20
    return np.clip(image, 0, 32767).astype(np.int16)


def _blurred(
    image: Int64[np.ndarray, "i j k"], axis: int
) -> Int64[np.ndarray, "i j k"]:
    """The image smoothed along one axis with weights 1/4, 1/2, 1/4."""
    width = [(1, 1) if n == axis else (0, 0) for n in range(3)]
    padded = np.pad(image, width, mode="edge")
    size = image.shape[axis]
    before, here, after = (
        padded.take(range(start, start + size), axis=axis) for start in range(3)
    )
    return np.asarray((before + 2 * here + after) // 4)
