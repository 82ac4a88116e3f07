"""Small data sets and shapes with known answers, for the tests of other modules."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.images.formats import itk, nifti
from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.formats.raster import write_label as write_png
from segpipe.images.grid import Grid
from segpipe.project.documents import write_json, write_text

VALUES = (1, 3)  # of the structures; need not be consecutive
TUMOUR: dict[str, Any] = {
    "labels": {
        "background": 0,
        "whole tumour": [1, 4, 2],
        "core": [4, 2],
        "enhancing": 4,
    },
    "regions_class_order": [1, 2, 4],
}
RINGS = {1: 1.0, 2: 0.75, 4: 0.45}  # radius of each value's ball, of the tumour's


def ball(
    radius: float,
    *,
    shape: tuple[int, int, int] = (48, 48, 48),
    center: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """Where a ball lies, by the distance of voxel centres."""
    middle = center or tuple((n - 1) / 2 for n in shape)
    where = np.meshgrid(*map(np.arange, shape), indexing="ij")
    squares = [(a - m) ** 2 for a, m in zip(where, middle, strict=True)]
    return np.asarray(sum(squares) <= radius**2)


def write_dataset(
    folder: Path,
    *,
    dimensions: int = 3,
    cases: int = 6,
    structures: int = 2,
    instances: bool = False,
    patients: dict[str, str] | None = None,
    ignore: int | None = None,
    shape: tuple[int, int, int] | None = None,
) -> None:
    """A data set that is quick to learn, in the nnU-Net v2 layout.

    Each case has a bright ball (a disc in 2-D) of value 1 and, with two structures, a
    brighter one of value 3, at places that differ from case to case.

    Args:
        folder: Where to write.
        dimensions: 3 for ``.nii`` of 24 x 20 x 16 at 1 x 1 x 2 mm; 2 for ``.png`` of
            64 x 64.
        cases: Names are case_00, case_01, ...
        structures: 1 or 2.
        instances: Whether to write the balls' ids too.
        patients: Case to patient, for patients.csv, with a site in turn.
        ignore: Value of the last slice (row in 2-D), which is then not annotated.
        shape: Another shape.
    """
    ending = ".nii" if dimensions == 3 else ".png"
    shape = shape or ((24, 20, 16) if dimensions == 3 else (64, 64, 1))
    labels = {"background": 0, "ball": 1, "core": 3}
    if structures == 1:
        del labels["core"]
    if ignore is not None:
        labels["ignore"] = ignore
    names = [f"case_{number:02d}" for number in range(cases)]
    for number, name in enumerate(names):
        image, label, ids = _build_case(number, shape, structures)
        if ignore is not None:
            last = label[..., -1] if dimensions == 3 else label[:, -1]
            last[:] = ignore
        _write(folder, name, ending, image, label, ids if instances else None)
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "intensity"},
            "labels": labels,
            "numTraining": cases,
            "file_ending": ending,
        },
    )
    if patients is not None:
        rows = [
            f"{case},{patient},{'north' if place % 2 else 'south'}"
            for place, (case, patient) in enumerate(patients.items())
        ]
        text = "\n".join(["case,patient,site", *rows])
        write_text(folder / "patients.csv", text + "\n")


def write_tumours(
    folder: Path, *, dimensions: int = 3, cases: int = 10, patients: dict[str, str]
) -> None:
    """A data set of nested structures: an enhancing ball in a core in a whole tumour.

    The structures unite values as nnU-Net's regions do; each value has a grey value of
    its own. Grids and names are those of ``write_dataset``.
    """
    write_dataset(folder, dimensions=dimensions, cases=cases, patients=patients)
    description = folder / "dataset.json"
    document = json.loads(description.read_text())
    write_json(description, {**document, **TUMOUR})
    shape = (24, 20, 16) if dimensions == 3 else (64, 64, 1)
    for number in range(cases):
        rng = np.random.default_rng(number)
        center = tuple((n - 1) / 2 + rng.uniform(-1, 1) * (n > 1) for n in shape)
        label = np.zeros(shape, dtype=np.uint8)
        image = 40 + rng.integers(0, 12, shape)
        for grey, (value, share) in zip((60, 120, 180), RINGS.items(), strict=True):
            inside = ball(share * min(shape[:2]) / 2.5, shape=shape, center=center)
            label[inside], image[inside] = value, grey + rng.integers(0, 12)
        ending = document["file_ending"]
        _write(
            folder, f"case_{number:02d}", ending, image.astype(np.uint8), label, None
        )


def _build_case(
    number: int, shape: tuple[int, int, int], structures: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    flat = shape[2] == 1
    radius = min(shape[:2] if flat else shape) / 5
    label = np.zeros(shape, dtype=np.uint8)
    ids = np.zeros(shape, dtype=np.uint8)
    for place, value in enumerate(VALUES[:structures], start=1):
        near = place / (structures + 1)
        center = (
            shape[0] * near + rng.uniform(-1, 1),
            shape[1] / 2 + rng.uniform(-2, 2),
            0 if flat else shape[2] / 2 + rng.uniform(-2, 2),
        )
        inside = ball(radius, shape=shape, center=center)
        label[inside], ids[inside] = value, place
    image = 40 + 60 * (label == 1) + 120 * (label == 3) + rng.integers(0, 12, shape)
    return image.astype(np.uint8), label, ids


def _write(
    folder: Path,
    name: str,
    ending: str,
    image: np.ndarray,
    label: np.ndarray,
    ids: np.ndarray | None,
) -> None:
    grid = Grid.from_spacing(image.shape, (1.0, 1.0, 2.0), "mm")
    files = {f"imagesTr/{name}_0000": image, f"labelsTr/{name}": label}
    if ids is not None:
        files[f"instancesTr/{name}"] = ids
    for place, array in files.items():
        path = folder / f"{place}{ending}"
        if ending == ".png":
            write_png(path, array)
        elif place.startswith("images"):
            write_image(path, array, grid)
        else:
            write_label(path, array, grid)


def write_volume(path: Path, shape=(16, 18, 20), seed=0) -> Grid:
    """Write noise on a grid with an origin of its own, in the format of the name."""
    noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (3, -7, 11)
    grid = Grid(shape, affine, "mm")
    if path.name.endswith((".nii", ".nii.gz")):
        nifti.write_image(path, noise, grid)
    else:
        whole = (noise * 50).astype(np.int16)
        itk.write_label(path, whole, grid)
    return grid
