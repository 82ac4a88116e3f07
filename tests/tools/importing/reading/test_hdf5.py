"""The HDF5 door: named data sets, stored k, j, i."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.reading import hdf5

RAW = np.random.default_rng(0).integers(0, 255, (5, 4, 3)).astype(np.uint8)  # k, j, i


def write(path: Path, **data: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in data.items():
            file[name] = array
            file[name].attrs["element_size_um"] = [0.25, 0.5, 2]
    return path


def test_axes_and_sizes_are_turned_round_and_microns_become_millimetres(
    tmp_path: Path,
) -> None:
    image = hdf5.read_image(write(tmp_path / "a.h5", raw=RAW), key="raw")

    assert image.array[0, 2, 1, 4] == RAW[4, 1, 2]
    assert image.grid.spacing == pytest.approx((0.002, 0.0005, 0.00025))
    assert image.grid.unit == "mm"


def test_without_a_size_the_unit_is_px(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = RAW

    assert hdf5.read_image(tmp_path / "a.h5", key="raw").grid.unit == "px"


def test_a_fourth_axis_is_channels_and_a_plane_gets_one_k(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=np.stack([RAW, RAW + 1]), plane=RAW[0])

    assert hdf5.read_image(path, key="raw").array.shape == (2, 3, 4, 5)
    assert hdf5.read_image(path, key="plane").array.shape == (1, 3, 4, 1)
    assert hdf5.read_label(path, key="plane").array.shape == (3, 4, 1)


def test_a_wrong_name_lists_the_right_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", **{"volumes/raw": RAW, "label": RAW})

    with pytest.raises(DataError, match=r"a\.h5.*raw, found label, volumes/raw;.*-key"):
        hdf5.read_image(path, key="raw")


def test_fractions_are_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", label=RAW / 2)

    with pytest.raises(DataError, match=r"a\.h5: expected whole labels"):
        hdf5.read_label(path, key="label")


def test_infinite_voxels_and_absurd_sizes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=np.where(RAW > 9, 1.0, np.inf), other=RAW)
    with h5py.File(path, "a") as file:
        file["other"].attrs["element_size_um"] = [0, 1, 1]

    with pytest.raises(DataError, match="finite"):
        hdf5.read_image(path, key="raw")
    with pytest.raises(DataError, match=r"above 0.*\[0\.0, 1\.0, 1\.0\]"):
        hdf5.read_image(path, key="other")


def test_a_cut_file_is_refused_by_name(tmp_path: Path) -> None:
    data = write(tmp_path / "a.h5", raw=RAW).read_bytes()
    for size in range(0, len(data) - 1, len(data) // 20):
        (tmp_path / "a.h5").write_bytes(data[:size])

        with pytest.raises(DataError, match=r"a\.h5: expected a whole HDF5 file"):
            hdf5.read_image(tmp_path / "a.h5", key="raw")
        with pytest.raises(DataError, match=r"a\.h5: expected a whole HDF5 file"):
            hdf5.read_sets(tmp_path / "a.h5")
