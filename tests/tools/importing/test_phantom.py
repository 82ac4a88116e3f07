"""The embedded data set: the same everywhere, and hard in the ways that it promises."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import open_image, read_image, read_label
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import md5_folder
from segpipe.tools.importing.phantom import (
    PHANTOM_MD5,
    is_phantom,
    write_phantom,
)
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "data"
    write_phantom(folder)
    return folder


def test_its_md5_is_the_one_that_dvc_tracks(data: Path) -> None:
    tracked = re.search(r"md5: (\w+)\.dir", (ROOT / "data.dvc").read_text())

    assert md5_folder(data) == PHANTOM_MD5
    assert tracked
    assert tracked[1] == PHANTOM_MD5


def test_it_is_small_and_a_sound_data_set(data: Path) -> None:
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    found = read_dataset(data)

    assert size < 10e6
    assert not found.faults
    assert len(found.cases) >= 16
    patients = [case.patient for case in found.cases]
    assert 1 < len(set(patients)) < len(patients)
    assert {case.attributes["site"] for case in found.cases} == {"north", "south"}


def test_its_grids_are_anisotropic_oblique_and_stored_in_several_ways(
    data: Path,
) -> None:
    grids = [open_image(path).grid for path in sorted((data / "imagesTr").iterdir())]

    assert all(max(grid.spacing) >= 2 * min(grid.spacing) * 0.99 for grid in grids)
    assert len({grid.to_canonical for grid in grids}) == 4
    directions = [grid.affine[:3, :3] / np.array(grid.spacing) for grid in grids]
    assert any(np.abs(d).max(axis=0).min() < 0.99 for d in directions)


def test_its_cells_touch_and_differ_in_size(data: Path) -> None:
    touching, sizes = 0, []
    for path in sorted((data / "instancesTr").iterdir()):
        ids = read_label(path).array
        sizes += np.bincount(ids.ravel())[1:].tolist()
        a, b = ids[1:], ids[:-1]
        touching += int(((a != b) & (a > 0) & (b > 0)).any())

    assert touching == 20
    assert np.percentile(sizes, 90) > 3 * np.percentile(sizes, 10) > 0


def test_components_of_its_cells_are_hardly_ever_cells(data: Path) -> None:
    """So that a network without a line between touching cells finds no instances."""
    matched, components, cells = 0, 0, 0
    for path in sorted((data / "instancesTr").iterdir()):
        ids = read_label(path).array
        found, number = ndimage.label(ids > 0)
        for cell in range(1, ids.max() + 1):
            shared = np.bincount(found[ids == cell], minlength=number + 1)
            sizes = np.bincount(found.ravel()) + (ids == cell).sum() - shared
            matched += int((shared[1:] / sizes[1:]).max() > 0.5)
        components += number
        cells += ids.max()

    assert cells > 150
    assert 2 * matched / (components + cells) < 0.1


def test_its_vessel_crosses_each_block_below_the_cells(data: Path) -> None:
    for path in sorted((data / "labelsTr").iterdir()):
        _, number = ndimage.label(read_label(path).array == 3, np.ones((3, 3, 3)))
        assert number == 1


def test_no_threshold_of_brightness_finds_the_cells(data: Path) -> None:
    """Else the networks would have nothing to learn."""
    best = []
    for path in sorted((data / "labelsTr").iterdir()):
        image = read_image(data / "imagesTr" / f"{path.stem}_0000.nii").array[0]
        cells = read_label(path).array == 1
        levels = np.percentile(image, range(50, 100, 2))
        overlaps = [2 * (cells & (image > v)).sum() for v in levels]
        sums = [cells.sum() + (image > v).sum() for v in levels]
        best.append(max(np.array(overlaps) / np.array(sums)))

    assert 0.5 < np.mean(best) < 0.8


def test_it_never_overwrites_other_data(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match="are left unchanged"):
        write_phantom(own)

    assert [path.name for path in own.iterdir()] == ["mine.txt"]
    before = (data / "dataset.json").stat().st_mtime_ns
    write_phantom(data)
    assert (data / "dataset.json").stat().st_mtime_ns == before
    assert is_phantom(data)
    assert not is_phantom(own)
