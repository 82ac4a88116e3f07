"""Images of a source: size, channels, axes and spacing, and where these come from."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segpipe.images.formats import raster
from segpipe.images.formats.files import IMAGE_SUFFIXES
from segpipe.images.grid import Grid
from segpipe.tools.importing.conversion import ImportOptions, read_raw_image
from segpipe.tools.importing.proposal.families import words_of
from segpipe.tools.importing.proposal.values import BUDGET_S
from segpipe.tools.importing.reading import hdf5

AIR_HU = (-1100.0, -900.0)  # what the lowest value of a CT lies between


@dataclass(frozen=True)
class ImageLook:
    """What the first image of a source is.

    Attributes:
        grid: Where its voxels lie.
        channels: Number of channels of its file.
        low: Its lowest value.
        high: Its highest value.
        grey: Whether the colours of all images are equal.
    """

    grid: Grid
    channels: int
    low: float
    high: float
    grey: bool

    def lines(self, path: Path) -> list[str]:
        """What a person should know of it, in words."""
        size = " x ".join(map(str, self.grid.shape[: 2 + (self.grid.shape[2] > 1)]))
        colours = " of equal colours" if self.grey else ""
        channels = f"{self.channels} channel{'s' * (self.channels > 1)}{colours}"
        first = f"first image: {size}, {channels}, {self.low:g} to {self.high:g}"
        return [first, _spacing_line(path, self.grid)]

    def is_ct(self, path: str) -> bool:
        """Whether it is a CT by its values, or by its name and a value below 0."""
        named = bool({"ct", "cta"} & set(words_of(path)))
        in_hu = self.low == round(self.low) and self.grid.unit == "mm"
        return in_hu and (
            AIR_HU[0] <= self.low <= AIR_HU[1] or (named and self.low < 0)
        )


def look_at_images(paths: Sequence[Path], options: ImportOptions) -> ImageLook:
    """Look at the first image, and at the colours of as many as the time allows.

    Raises:
        DataError: If the first image cannot be read.
    """
    image = read_raw_image(paths[0], options)
    colours = len(image.array) in (3, 4) and paths[0].suffix.lower() in raster.SUFFIXES
    return ImageLook(
        image.grid,
        len(image.array),
        float(image.array.min()),
        float(image.array.max()),
        colours and _all_grey(paths, options),
    )


def _all_grey(paths: Sequence[Path], options: ImportOptions) -> bool:
    """Whether all images were read in time, and none has colours that differ."""
    start = time.monotonic()
    for path in paths:
        array = read_raw_image(path, options).array
        late = time.monotonic() - start > BUDGET_S and path != paths[-1]
        if late or len(array) not in (3, 4) or (array[:3] != array[:1]).any():
            return False
    return True


def _spacing_line(path: Path, grid: Grid) -> str:
    axes = 2 + (grid.shape[2] > 1)
    size = " x ".join(f"{step:.4g}" for step in grid.spacing[:axes])
    if grid.unit == "mm":
        where = "HDF5 attribute" if hdf5.is_hdf5(path) else "its header"
        return f"spacing: {size} mm, axes {grid.directions}, from {where}"
    stated = path.name.lower().endswith(IMAGE_SUFFIXES)
    words = raster.spacing_warning(path, None) if stated else None
    if words:
        return f"spacing: {words}"
    example = ",".join(["0.5"] * axes)
    return f"spacing: none in the file, so px; --spacing-mm {example} would set one"
