"""Colours: grey images among RGB ones, and the reverse, by one stated conversion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segpipe.images.formats import raster

NAMES = ({"red", "r"}, {"green", "g"}, {"blue", "b"})  # of channels that are colours
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue
HOW = (
    "one grey channel stands for channels that are named red, green and blue, and "
    "three colours for one channel"
)


def is_picture(path: Path) -> bool:
    """Whether a file is of a format whose channels are colours: PNG, TIFF or JPEG."""
    return path.name.lower().endswith(raster.SUFFIXES)


def are_colours(channels: Sequence[str]) -> bool:
    """Whether channels are named red, green and blue, or r, g and b."""
    if len(channels) != len(NAMES):
        return False
    return all(
        name.lower() in known for name, known in zip(channels, NAMES, strict=True)
    )


def match_colours(
    array: Float32[np.ndarray, "given i j k"], channels: Sequence[str]
) -> tuple[Float32[np.ndarray, "channel i j k"], str | None]:
    """Convert a picture to the channels of a data set or a segmenter, if it can be.

    Grey becomes three equal channels where the channels are colours. Three colours
    become one grey channel: any of them if they are equal everywhere, and else their
    luma. Every other picture stays as it is.

    Args:
        array: A picture of one file, without alpha.
        channels: Names of the channels that are wanted.

    Returns:
        The channels, and what was converted, in a sentence; None if nothing was.
    """
    if len(array) == 1 and are_colours(channels):
        return np.repeat(array, 3, axis=0), "grey became three equal colours"
    if len(array) != 3 or len(channels) != 1:
        return array, None
    if (array == array[:1]).all():
        return array[:1], "colours, all equal, became one grey channel"
    return luma(array), "colours became one grey channel by their luma (Rec. 601)"


def luma(array: Float32[np.ndarray, "3 i j k"]) -> Float32[np.ndarray, "1 i j k"]:
    """Luma of red, green and blue; a whole number if all of them are.

    Source:
        ITU-R BT.601, section 2.5.1, as Pillow converts RGB to L. The function rgb2gray
        of scikit-image has the weights of BT.709.
    """
    red, green, blue = array.astype(np.float64)
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    if (array == np.rint(array)).all():
        grey = np.floor(grey + 0.5)
    return np.asarray(grey, dtype=np.float32)[np.newaxis]
