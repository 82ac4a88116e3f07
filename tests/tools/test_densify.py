"""From a few annotated slices to a dense label map."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.project.documents import sole_writer, write_json
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.densify import DensifyParams, densify
from tests.support import projects
from tests.support.phantoms import write_dataset
from tests.support.projects import changed, one_thread, with_loss

NOBODY = 200
PARAMS = DensifyParams(
    verify=projects.VERIFY,
    plan=projects.PLAN,
    preprocess=projects.PREPROCESS,
    weigh=projects.WEIGH,
    train=changed(
        projects.TRAIN,
        epochs=2,
        steps_per_epoch=40,
        validation_interval=2,
        base_channels=4,
        border_weights=False,
        class_weights="none",
        loss=with_loss("dice_cross_entropy"),
    ),
    predict=projects.PREDICT,
)


def write_sparse(data: Path) -> dict[str, np.ndarray]:
    """Every fourth slice is annotated; the whole truth, by file."""
    write_dataset(data, cases=3)
    about = json.loads((data / "dataset.json").read_text())
    about["labels"]["ignore"] = NOBODY
    write_json(data / "dataset.json", about)
    truth = {}
    for file in sorted((data / "labelsTr").iterdir()):
        label = read_label(file)
        truth[file.name] = label.array.copy()
        sparse = np.full_like(label.array, NOBODY)
        sparse[..., 2::4] = label.array[..., 2::4]
        write_label(file, sparse, label.grid)
    return truth


def run(paths: Paths) -> str:
    return densify(
        PARAMS,
        paths.root / "dense",
        model="unet3d",
        compute=one_thread(),
        paths=paths,
    )


def test_the_rest_of_the_volumes_is_labelled_and_what_was_drawn_stays(
    tmp_path: Path,
) -> None:
    """Seeds: N10."""
    paths = Paths(tmp_path)
    truth = write_sparse(paths.data)
    said = run(paths)

    assert said.startswith("wrote 3 dense label maps")
    assert "25.0 % of the voxels were drawn" in said
    for name, whole in truth.items():
        dense = read_label(tmp_path / "dense" / name).array
        assert set(np.unique(dense)) <= {0, 1, 3}
        np.testing.assert_array_equal(dense[..., 2::4], whole[..., 2::4])
        unseen = np.ones(whole.shape, dtype=bool)
        unseen[..., 2::4] = False
        assert dice((whole > 0) & unseen, (dense > 0) & unseen) > 0.7
    with pytest.raises(DataError, match="expected a new folder"):
        run(paths)


def test_pretrained_weights_are_those_of_the_users_project(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_sparse(paths.data)
    params = replace(
        PARAMS, train=changed(PARAMS.train, start_from="nowhere@000000000000")
    )

    with pytest.raises(DataError, match=f"{tmp_path.resolve()}/nowhere/spec.json"):
        densify(
            params,
            tmp_path / "dense",
            model="unet3d",
            compute=one_thread(),
            paths=paths,
        )


def test_nothing_is_left_unlooked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a coarse network does not find would become background of a reference."""
    paths = Paths(tmp_path)
    write_sparse(paths.data)
    short = changed(PARAMS.train, coarse=True, epochs=1, steps_per_epoch=1)
    params = replace(PARAMS, train=short)

    with caplog.at_level("INFO"):
        densify(
            params,
            tmp_path / "dense",
            model="unet3d",
            compute=one_thread(),
            paths=paths,
        )

    assert "looks everywhere" in caplog.text
    assert not list(paths.cache.rglob("coarse-0.safetensors"))


def test_data_that_are_dense_already_are_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=2)

    with pytest.raises(DataError, match=r"labels: expected ignore.*--ignore VALUE"):
        run(paths)
    assert not (tmp_path / "dense").exists()


def test_two_at_once_with_one_model_are_one_and_an_error(tmp_path: Path) -> None:
    """They would write into one scratch project."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=2)

    with (
        sole_writer(paths.cache / "densify" / "unet3d"),
        pytest.raises(DataError, match="expected no other process that writes it"),
    ):
        run(paths)
