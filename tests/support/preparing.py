"""Plans and images that the tests of preprocessing share."""

import numpy as np

from segpipe.segmenter.plan import Normalization, Plan
from tests.support.segmenters import make_plan

CT = Normalization(
    kind="ct", low=-100.0, high=300.0, mean=50.0, standard_deviation=80.0
)
PERCENTILE = Normalization(
    kind="percentile", low=1.0, high=99.8, mean=0.0, standard_deviation=0.25
)


def plan(spacing: tuple[float, float, float], *kinds: Normalization) -> Plan:
    return make_plan(
        spacing=spacing,
        channels=tuple(f"c{n}" for n in range(len(kinds))),
        normalization=kinds,
        structures=("background", "liver", "spleen"),
        values=(0, 2, 7),
        ignore=255,
    )


def smooth(shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    waves = np.zeros(shape)
    where = np.indices(shape)
    for _ in range(4):
        direction = rng.uniform(-0.3, 0.3, 3).reshape(3, 1, 1, 1)
        waves += np.sin((where * direction).sum(axis=0) + rng.uniform(0, 6))
    return waves.astype(np.float32)
