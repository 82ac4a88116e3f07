"""Sets: volumes and images with drawn structures, as files that all methods read.

The rule of the sides is fixed, so that every method has the same ones and nobody can
choose them: the patients are sorted by name; every third is tested, and every sixth of
the others validates. A set of a single volume is cut into slabs across the body's long
axis, between the first and the last slice in which all channels vary; a slab
counts as a patient there: it tells how methods differ in one body, and nothing of other
bodies.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segpipe.images.formats import nifti, raster
from segpipe.images.formats.files import read_image, read_label, write_label
from segpipe.images.grid import Grid
from segpipe.project.documents import write_text

Side = Literal["training", "validation", "test"]
TEST_EVERY, VALIDATION_EVERY, SLABS = 3, 6, 6
NUMBERED = "structure {:03}"


@dataclass(frozen=True)
class Item:
    """A case of a set, as files of the data set.

    Attributes:
        name: Name of the case.
        patient: Name of the patient, or of the slab.
        images: File of each channel.
        label: File of the label map.
        slab: Number of the slab of a single volume; None for all of it.
    """

    name: str
    patient: str
    images: tuple[Path, ...]
    label: Path
    slab: int | None = None


@dataclass(frozen=True)
class SemanticSet:
    """A data set with its way to the cases.

    Attributes:
        folder: Name of its folder.
        channels: Name of each channel.
        structures: Names of the structures 1, 2 ...; empty for all values that are
            found, numbered in their order.
        items: Lists the cases of the folder.
        presets: Presets that learn it, each with the name of its model.
    """

    folder: str
    channels: tuple[str, ...]
    structures: tuple[str, ...]
    items: Callable[[Path], list[Item]]
    presets: dict[str, str]

    @property
    def ending(self) -> str:
        """Ending of the files that are written."""
        return ".nii.gz" if "resenc3d" in self.presets.values() else ".png"


def _hippocampus(folder: Path) -> list[Item]:
    files = sorted((folder / "images").glob("*.nii.gz"))
    stems = [file.name.removesuffix(".nii.gz") for file in files]
    return [
        Item(stem, stem, (file,), folder / "labels" / file.name)
        for stem, file in zip(stems, files, strict=True)
    ]


def _chasedb1(folder: Path) -> list[Item]:
    files = sorted((folder / "images").glob("*.jpg"))
    return [
        Item(file.stem, file.stem[:-1], (file,), observer(file.stem, 1, folder))
        for file in files
    ]


def observer(name: str, number: int, folder: Path) -> Path:
    """The mask of CHASE_DB1 that the first or the second observer drew."""
    return folder / "labels" / f"{name}_{('1st', '2nd')[number - 1]}HO.png"


def _slabs(images: tuple[str, ...], label: str) -> Callable[[Path], list[Item]]:
    def items(folder: Path) -> list[Item]:
        files = tuple(folder / "images" / f"{name}.nii.gz" for name in images)
        where = folder / "labels" / f"{label}.nii.gz"
        return [
            Item(f"slab{n}", f"slab{n}", files, where, slab=n) for n in range(SLABS)
        ]

    return items


BEST = {"best-3d": "resenc3d", "hippocampus": "unet3d"}
LARGE = BEST | {"body-ct": "resenc3d"}
SETS = {
    one.folder: one
    for one in (
        SemanticSet(
            "3d_msd_hippocampus",
            ("MR",),
            ("anterior", "posterior"),
            _hippocampus,
            BEST,
        ),
        SemanticSet(
            "2d_chasedb1",
            ("red", "green", "blue"),
            ("vessel",),
            _chasedb1,
            {"best-2d": "resenc2d", "border-weights": "unet2d-border"},
        ),
        SemanticSet(
            "3d_sct_spinalcord",
            ("T2",),
            ("cord",),
            _slabs(("t2",), "t2_seg-manual"),
            BEST,
        ),
        SemanticSet(
            "3d_ms_lesion",
            ("FLAIR", "T1"),
            ("lesion",),
            _slabs(("patient07_FLAIR", "patient07_T1"), "patient07_GOLD_STANDARD"),
            LARGE,
        ),
        SemanticSet(
            "3d_totalseg_ct",
            ("CT",),
            (),
            _slabs(("example_ct_sm",), "example_seg"),
            LARGE,
        ),
    )
}


def choose_sides(patients: set[str]) -> dict[str, Side]:
    """Side of each patient.

    Args:
        patients: Names, in any order.
    """
    sides: dict[str, Side] = {}
    learning = 0
    for number, patient in enumerate(sorted(patients)):
        if number % TEST_EVERY == 0:
            sides[patient] = "test"
            continue
        validates = learning % VALIDATION_EVERY == 2
        sides[patient] = "validation" if validates else "training"
        learning += 1
    return sides


def write_set(one: SemanticSet, source: Path, raw: Path, references: Path) -> None:
    """Write a set in nnU-Net's layout, unless it is there; test labels lie apart.

    Args:
        one: The set.
        source: Its folder.
        raw: Folder to write: imagesTr, labelsTr, imagesTs, dataset.json, sides.csv
            (name, side) and patients.csv (case, patient).
        references: Folder to write the label maps of the test cases into.
    """
    if (raw / "sides.csv").is_file():
        return
    items = one.items(source)
    sides = choose_sides({item.patient for item in items})
    values = _values(items) if not one.structures else None
    for folder in (raw / "imagesTr", raw / "labelsTr", raw / "imagesTs", references):
        folder.mkdir(parents=True, exist_ok=True)
    held = (0, 0) if items[0].slab is None else held_slices(items[0])
    for item in items:
        test = sides[item.patient] == "test"
        images = raw / ("imagesTs" if test else "imagesTr")
        for channel, file in enumerate(item.images):
            place = images / f"{item.name}_{channel:04}{one.ending}"
            _write_image(file, place, item.slab, held)
        place = (references if test else raw / "labelsTr") / f"{item.name}{one.ending}"
        _write_label(item, place, values, held)
    names = one.structures or [NUMBERED.format(value) for value in values or ()]
    learning = sum(sides[item.patient] != "test" for item in items)
    document = {
        "channel_names": {str(n): name for n, name in enumerate(one.channels)},
        "labels": {"background": 0} | {name: n for n, name in enumerate(names, 1)},
        "numTraining": learning,
        "file_ending": one.ending,
    }
    write_text(raw / "dataset.json", json.dumps(document, indent=2) + "\n")
    patients = [
        f"{item.name},{item.patient}\n"
        for item in items
        if sides[item.patient] != "test"
    ]
    write_text(raw / "patients.csv", "case,patient\n" + "".join(patients))
    lines = [f"{item.name},{sides[item.patient]}\n" for item in items]
    write_text(raw / "sides.csv", "name,side\n" + "".join(lines))


def _values(items: list[Item]) -> list[int]:
    """The values of the structures, sorted."""
    values = np.unique(read_label(items[0].label).array)
    return [int(value) for value in values if value != 0]


def _long_axis(grid: Grid) -> int:
    """The axis of a grid from feet to head."""
    return next(n for n, name in enumerate(grid.directions) if name in "SI")


def held_slices(item: Item) -> tuple[int, int]:
    """The first slice in which all channels vary, and the one after the last.

    Slices of one value, such as those above a head, are no image of anything.
    """
    first, last = 0, None
    for file in item.images:
        image = read_image(file)
        axis = _long_axis(image.grid)
        planes = np.moveaxis(image.array[0], axis, 0).reshape(
            image.grid.shape[axis], -1
        )
        places = np.flatnonzero(planes.max(1) > planes.min(1))
        first = max(first, int(places[0]))
        last = min(int(places[-1]) + 1, last or len(planes))
    assert last is not None
    return first, last


def slab_of(
    grid: Grid, number: int | None, held: tuple[int, int]
) -> tuple[tuple[slice, ...], Grid]:
    """Voxels and grid of a slab across the axis from feet to head.

    Args:
        grid: The grid of the volume.
        number: Number of the slab; None for the whole volume.
        held: What ``held_slices`` found.
    """
    whole = (slice(None), slice(None), slice(None))
    if number is None:
        return whole, grid
    axis = _long_axis(grid)
    edges = np.linspace(*held, SLABS + 1).round().astype(int)
    start, stop = int(edges[number]), int(edges[number + 1])
    window = (*whole[:axis], slice(start, stop), *whole[axis + 1 :])
    affine = grid.affine.copy()
    affine[:3, 3] += start * affine[:3, axis]
    i, j, k = (stop - start if n == axis else grid.shape[n] for n in range(3))
    return window, Grid((i, j, k), affine, grid.unit)


def _write_image(
    file: Path, place: Path, slab: int | None, held: tuple[int, int]
) -> None:
    image = read_image(file)
    if file.suffix == ".jpg":
        raster.write_image(place, image.array.astype(np.uint8))
    elif slab is None:
        shutil.copyfile(file, place)
    else:
        window, grid = slab_of(image.grid, slab, held)
        nifti.write_image(place, image.array[0][window], grid)


def _write_label(
    item: Item, place: Path, values: list[int] | None, held: tuple[int, int]
) -> None:
    """Write a label map with the structures numbered from 1."""
    label = read_label(item.label)
    window, grid = slab_of(label.grid, item.slab, held)
    array = label.array[window]
    if item.label.suffix == ".png":
        array = (array > 0).astype(np.uint8)
    if values is not None:
        array = np.searchsorted([0, *values], array)
    write_label(place, array.astype(np.uint8), grid)


def read_sides(raw: Path) -> Iterator[tuple[str, str]]:
    """Name and side of each case that was written."""
    text = (raw / "sides.csv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        name, side = line.split(",")
        yield name, side


def read_structures(raw: Path) -> list[str]:
    """Names of the structures 1, 2 ... that were written."""
    document = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    return list(document["labels"])[1:]


def patient_of(case: str) -> str:
    """The patient of a case: both eyes are one patient's."""
    return re.sub(r"^(Image_\d+)[LR]$", r"\1", case)
