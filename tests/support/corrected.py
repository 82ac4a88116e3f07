"""A project whose test case is under review, for the tests of corrections."""

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import read_image, read_label, write_image
from segpipe.images.formats.nifti import write_label as write_nifti
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.paths import Paths
from segpipe.review.build import structures_of
from segpipe.review.corrections.draft import Begin
from segpipe.review.dossier import (
    MONTAGE,
    Dossier,
    Item,
    Key,
    Letter,
    Shown,
    Source,
    item_folder,
    mask_name,
    new_dossier,
    seal,
)
from segpipe.review.items.volumes import (
    canonical,
    to_canonical,
    write_images,
    write_masks,
)
from segpipe.review.shelf import Volume, open_volume
from tests.support.phantoms import write_dataset
from tests.support.projects import JUDGED, run_to_split, write_sides

LETTERS: dict[Letter, Source] = {"A": "champion", "B": "reference", "C": "candidate"}
ITEM = "a1b2c3d4"


def write_project(root: Path, *, dimensions: int = 3, instances: bool = False) -> Paths:
    """Fourteen cases of ten patients, seven of whom are tested; i left, j back."""
    paths = Paths(root)
    write_dataset(
        paths.data,
        cases=14,
        patients=JUDGED,
        dimensions=dimensions,
        structures=1 if instances else 2,
        instances=instances,
    )
    for file in paths.data.rglob("*.nii"):
        image = read_image(file)
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        affine[:3, 3] = (20, 30, -5)
        grid = Grid(image.grid.shape, affine, "mm")
        if file.parent.name == "imagesTr":
            write_image(file, image.array[0].astype(np.uint8), grid)
        else:
            write_nifti(file, read_label(file).array.astype(np.uint8), grid)
    write_sides(paths)
    run_to_split(paths, dimensions=dimensions)
    return paths


def judged_case(paths: Paths) -> str:
    """Name of the first test case."""
    return read_split(paths.artifacts).test[0]


def trained_on(paths: Paths) -> str:
    """Name of a case that is in no test set."""
    return read_split(paths.artifacts).folds[0].training[0]


def write_review(paths: Paths, case: str) -> Volume:
    """A dossier of one item: both models miss a slice of what the reference has."""
    cases = read_cases(paths.artifacts)
    one = cases[case]
    label = read_case_label(paths.data, cases, one).array
    image = read_case(paths.data, cases, one)
    masks = {"reference": label, "candidate": label.copy(), "champion": label.copy()}
    masks["candidate"][: label.shape[0] // 2] = 0
    masks["champion"][:, : label.shape[1] // 2] = 0
    folder = paths.root / ".reviews" / "balls-3"
    shutil.rmtree(folder, ignore_errors=True)
    grid = canonical(image.grid)
    with new_dossier(folder) as part:
        place = item_folder(part, ITEM)
        place.mkdir(parents=True)
        turned = Image(to_canonical(image.array, image.grid), grid)
        images = write_images(place, turned, missing=())
        lettered = {
            letter: to_canonical(masks[source], image.grid)
            for letter, source in LETTERS.items()
        }
        write_masks(place, lettered, grid, values=cases.values)
        (place / MONTAGE).write_bytes(b"\x89PNG")
        shown = Shown(
            case=case,
            patient=one.patient,
            stratum="worst",
            letters=LETTERS,
            figures={},
        )
        dossier = Dossier(
            format_version=1,
            name="balls",
            version="3",
            segmenter="a" * 64,
            champion="b" * 64,
            protocol="c" * 64,
            data=None,
            code=None,
            made=datetime(2026, 11, 26, tzinfo=UTC),
            structures=structures_of(cases),
            unit=cases.unit,
            windows=(),
            items=(Item(id=ITEM, letters=("A", "B", "C"), images=images),),
            files={},
        )
        seal(part, dossier, Key(items={ITEM: shown}))
    return open_volume(folder)


def digest_of(volume: Volume, letter: Letter) -> str:
    """SHA-256 of the mask with a letter, by hashlib."""
    path = item_folder(volume.folder, ITEM) / mask_name(letter)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def first(volume: Volume, letter: Letter | None = "B", **changed: str) -> Begin:
    """A beginning with the reference, for a new reference."""
    base = digest_of(volume, letter) if letter else None
    words = {"letter": letter, "base": base, "purpose": "reference", **changed}
    return Begin(**words)  # type: ignore[arg-type]


def item_of(volume: Volume) -> Item:
    """The only item."""
    return volume.dossier.items[0]
