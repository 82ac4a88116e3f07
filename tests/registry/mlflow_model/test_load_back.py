"""A logged model is tried elsewhere, on a real case, before anybody trusts it."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model import serving
from segpipe.registry.mlflow_model.load_back import (
    LARGEST,
    check_loads_back,
    cut,
    read_test_image,
)
from segpipe.registry.mlflow_model.pack import Packed, log_model
from segpipe.registry.mlflow_model.provenance import FILE, Provenance
from segpipe.registry.store import connect
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, run_to_split
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def paths(paths: Paths) -> Paths:
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    return paths


def test_labels_that_differ_in_a_voxel_are_found(paths: Paths) -> None:
    """Equal ones pass in every registration of the tests of register."""
    plan = make_plan(spacing=(1.0, 1.0, 2.0))
    folder = paths.root / "packed"
    segmenter = Segmenter.load(save_segmenter(folder / "0", plan, seed=0))
    other = Segmenter.load(save_segmenter(paths.root / "other", plan, seed=1))
    Provenance(
        format_version=1,
        model="m",
        digest=segmenter_digest(folder / "0"),
        patients=(),
        data=None,
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
    ).write(folder / FILE)
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    signature = serving.build_signature(segmenter.spec)
    code = Path(serving.__file__)
    model = log_model(Packed(folder, code, signature, (), {}), run, paths)
    inference = serving.default_inference()

    with pytest.raises(DataError, match=r"of 7680 others; nothing was registered"):
        check_loads_back(model, other, inference, paths)


def test_a_small_test_case_is_taken_whole(paths: Paths) -> None:
    name, image = read_test_image(paths)

    assert name in PATIENTS
    assert image.array.shape == (1, 24, 20, 16)


@pytest.mark.parametrize("corner", [(5, 150, 10), (100, 199, 0), (0, 0, 19)])
def test_of_a_large_one_a_box_is_cut_that_stays_where_it_was(
    corner: tuple[int, int, int],
) -> None:
    affine = np.array([[0, -2, 0, 9], [1, 0, 0, 5], [0, 0, 3, -4], [0, 0, 0, 1.0]])
    grid = Grid((110, 200, 20), affine, "mm")
    mask = np.zeros(grid.shape, dtype=bool)
    mask[corner] = True
    image = Image(mask[np.newaxis].astype(np.float32), grid)

    box = cut(image, around=mask)

    assert box.grid.shape == (LARGEST, LARGEST, 20)
    (found,) = np.argwhere(box.array[0])
    place = box.grid.points_of(found[np.newaxis].astype(float))
    expected = grid.points_of(np.array([corner], dtype=float))
    np.testing.assert_allclose(place, expected)


def test_where_nothing_is_drawn_the_middle_is_cut() -> None:
    grid = Grid.from_spacing((200, 10, 10), (1.0, 1.0, 1.0), "mm")
    array = np.arange(200, dtype=np.float32)[:, None, None] * np.ones((1, 10, 10))
    image = Image(array[np.newaxis].astype(np.float32), grid)

    box = cut(image, around=np.zeros(grid.shape, dtype=bool))

    assert box.array[0, 0, 0, 0] == 100 - LARGEST // 2
