"""A tilted gantry is straightened, and what is linear in space stays so."""

from pathlib import Path

import numpy as np
import pytest

from tests.dicoms import (
    ORIGIN,
    SPACING,
    load,
    write_series,
)


def test_a_tilted_gantry_is_straightened_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    """Values that are linear in space stay so under linear resampling."""
    shape = (8, 20, 6)
    i, j, k = np.indices(shape)
    step = np.array([0, 0.5, 2.5])
    y = j * SPACING[1] + k * step[1]
    ramp = (100 * y + 40 * i * SPACING[0] + 1000).astype(np.int16)
    write_series(tmp_path, voxels=ramp, step=step)

    found = load(tmp_path, resample_tilt=True)

    grid = found.image.grid
    assert grid.largest_shear < 1e-6
    assert grid.spacing == pytest.approx(SPACING)
    assert grid.shape == (8, 22, 6)  # 2.5 mm of shift are two rows of 1.25 mm
    assert "tilted by 11.31 degrees" in found.warnings[-1]
    places = np.argwhere(np.ones(shape, bool)).astype(float)
    world = grid.points_of(places) * (-1, -1, 1) - ORIGIN
    expected = (100 * world[:, 1] + 40 * world[:, 0] + 1000).reshape(shape)
    inner = found.image.array[0, :, 3:18]
    assert np.abs(inner - expected[:, 3:18]).max() < 1
    assert (found.image.array[0, :, :2, 5] == ramp.min()).all()  # beyond the slice
