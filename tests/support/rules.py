"""Rules and label maps for the tests of post-processing."""

import numpy as np

from segpipe.images.values import Legend, Unions
from segpipe.segmenter.rules.postprocessing import NOTHING, StructureRule

LARGEST = NOTHING.model_copy(update={"keep_largest": True})
FILL = NOTHING.model_copy(update={"fill_holes": True})

# A core in a whole, by values 5 and 7; and a vessel that may lie anywhere, by 9.
NESTED = Legend(
    ("background", "whole", "core", "vessel"),
    (0, 5, 7, 9),
    Unions(values=((5, 7), (7,), (9,)), order=(5, 7, 9)),
)


def below(smallest_mm3: float) -> StructureRule:
    return NOTHING.model_copy(update={"smallest_mm3": smallest_mm3})


def labels(**masks: np.ndarray) -> np.ndarray:
    """A label map of masks named v1, v3 ...; later ones lie above."""
    shape = next(iter(masks.values())).shape
    label = np.zeros(shape, dtype=np.uint8)
    for name, mask in masks.items():
        label[mask] = int(name[1:])
    return label
