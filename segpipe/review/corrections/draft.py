"""Draft: a correction of one item of a review, from the mask that it began with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from segpipe.images.formats import nifti
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.review.corrections.runs import Run, apply_runs
from segpipe.review.corrections.target import Purpose, Target, find_target
from segpipe.review.corrections.uploads import read_upload
from segpipe.review.dossier import (
    ITEMS,
    Item,
    Letter,
    Shown,
    check_file,
    mask_name,
    read_key,
)
from segpipe.review.items.volumes import canonical, from_canonical, to_canonical
from segpipe.review.shelf import Volume


@dataclass(frozen=True)
class Begin:
    """What a person begins a correction with.

    Attributes:
        letter: The mask that was shown; none for an empty one.
        base: SHA-256 of its file; none for an empty one.
        purpose: What the correction is for.
    """

    letter: Letter | None
    base: str | None
    purpose: Purpose


@dataclass(frozen=True, eq=False)
class Draft:
    """A correction that was begun and may be drawn.

    Attributes:
        volume: The dossier.
        item: The item.
        shown: What the item is in truth.
        target: The case as it lies in data/.
        grid: The grid of the item's files.
        base: The mask that it began with, on this grid.
        before: SHA-256 of its file; none if it was empty.
    """

    volume: Volume
    item: Item
    shown: Shown
    target: Target
    grid: Grid
    base: Integer[np.ndarray, "i j k"]
    before: str | None

    def draw(self, runs: Sequence[Run]) -> Integer[np.ndarray, "i j k"]:
        """The mask after the changes of a brush, on the grid of the item's files.

        Raises:
            DataError: If they are none that can be.
        """
        return apply_runs(self.base, runs, values=self.target.legend.values)

    def read(self, content: bytes, name: str) -> Integer[np.ndarray, "i j k"]:
        """The mask in a file that was sent, on the grid of the item's files.

        Raises:
            DataError: As for read_upload.
        """
        mask = read_upload(
            content,
            name,
            grid=self.target.grid,
            shown=self.grid,
            legend=self.target.legend,
        )
        return to_canonical(mask, self.target.grid)

    def finish(
        self, mask: Integer[np.ndarray, "i j k"]
    ) -> Integer[np.ndarray, "i j k"]:
        """The mask on the grid of the source, if it is a correction.

        Raises:
            DataError: If nothing changed, or if what is to be the reference is the mask
                of a model.
        """
        if (mask == to_canonical(self.target.label, self.target.grid)).all():
            raise DataError(
                "the correction: expected changed voxels, found the label map that the "
                "data have already; nothing was signed"
            )
        for letter, source in self.shown.letters.items():
            if self.target.purpose == "training" or source == "reference":
                continue
            if (mask == _read_mask(self.volume, self.item, letter)[0]).all():
                raise DataError(
                    "the correction: expected a reference that was drawn, found the "
                    "mask of a model, voxel by voxel; a model is no reference"
                )
        return from_canonical(mask, self.target.grid)


def begin(volume: Volume, item: Item, first: Begin, paths: Paths) -> Draft:
    """Begin a correction of an item.

    A reference is drawn from the reference or from an empty mask: whoever begins with
    the mask of a model draws what the model drew, and the gate would reward it.

    Raises:
        DataError: If the letter or the digest is none of the item, the purpose is not
            that of the case, or the mask may not be the beginning of a reference.
    """
    shown = read_key(volume.folder).items[item.id]
    target = find_target(shown.case, paths)
    if first.purpose != target.purpose:
        raise DataError(
            f"the purpose: expected {target.purpose}, found {first.purpose}: this case "
            + (
                "is a test case, and a test case never enters a training"
                if target.purpose == "reference"
                else "is no test case, so that its reference judges nothing"
            )
        )
    grid = canonical(target.grid)
    if first.letter is None:
        if first.base is not None:
            raise DataError("base: expected none with an empty mask, found a digest")
        base = np.zeros(grid.shape, np.int16)
        return Draft(volume, item, shown, target, grid, base, None)
    if first.letter not in item.letters:
        raise DataError(f"letter: expected one of {', '.join(item.letters)}")
    base, lies, digest = _read_mask(volume, item, first.letter)
    if digest != first.base:
        raise DataError(
            f"base: expected the digest of the mask {first.letter}, found another; the "
            "page is old: open it again"
        )
    source = shown.letters[first.letter]
    if target.purpose == "reference" and source != "reference":
        raise DataError(
            f"letter: expected the reference or an empty mask, found {first.letter}, "
            f"the mask of the {source}; a reference is drawn without a model in view"
        )
    if not lies.matches(grid, tolerance=SAME_GRID):
        raise _changed("another grid")
    if source == "reference" and not np.array_equal(
        base, to_canonical(target.label, target.grid)
    ):
        raise _changed("a newer version of the reference")
    return Draft(volume, item, shown, target, grid, base, digest)


def _changed(found: str) -> DataError:
    return DataError(
        f"the case: expected the data as they were reviewed, found {found}; build the "
        "review again with `segpipe review build`, or begin with an empty mask"
    )


def _read_mask(
    volume: Volume, item: Item, letter: Letter
) -> tuple[np.ndarray, Grid, str]:
    place = f"{ITEMS}/{item.id}/{mask_name(letter)}"
    path: Path = check_file(volume.folder, volume.dossier, place)
    label = nifti.read_label(path)
    return label.array, label.grid, digest_file(path)
