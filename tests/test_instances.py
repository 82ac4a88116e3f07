"""Instances as a target: the whole chain, from ids to figures and files of ids."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_predicted_instances, read_prediction
from segpipe.dataset.split import read_split
from segpipe.evaluation.ceiling import find_ceilings
from segpipe.evaluation.report.page import page_file
from segpipe.images.formats.files import read_label, write_label
from segpipe.images.grid import Grid
from segpipe.images.instances import LEVELS, components
from segpipe.images.volume import LabelMap
from segpipe.networks.catalogue import NETWORKS, NetworkName
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.rules.instances import Target
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.stages import annotate, evaluate, plan, predict, preprocess, report, weigh
from segpipe.tools.segmenting.run import segment
from segpipe.training.task.section import TrainParams
from tests.support.narrow import brings_loss, narrow, needed
from tests.support.places import ROOT
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PLAN,
    PREDICT,
    PREPROCESS,
    TRAIN,
    WEIGH,
    changed,
    one_thread,
    run_to_split,
    train,
    with_loss,
)

SIZE = 48
CONTACT = changed(
    TRAIN,
    network="unet2d",
    base_channels=4,
    patch_size=(32, 32, 1),
    batch_size=4,
    loss=with_loss("dice_cross_entropy"),
    class_weights="none",
    border_weights=False,
    sparse_annotation=False,
    foreground_fraction=1.0,
    epochs=3,
    steps_per_epoch=60,
    postprocessing="auto",
    target="contact",
    judged_by="instances",
)
WEIGHED = changed(WEIGH, separate_touching=True, levels=True)
DISTANCE = changed(CONTACT, target="distance")


def write_pairs(folder: Path, cases: int, *, slices: int = 1) -> None:
    """Two bright squares that touch, with a dim line between them, and a single one.

    With several slices they are columns of a volume that is cut close to the pair.
    """
    for part in ("imagesTr", "labelsTr", "instancesTr"):
        (folder / part).mkdir(parents=True)
    for number in range(cases):
        rng = np.random.default_rng(number)
        i, j = rng.integers(4, 10, 2)
        ids = np.zeros((SIZE, SIZE, 1), dtype=np.uint8)
        ids[i : i + 10, j : j + 12], ids[i + 10 : i + 20, j : j + 12] = 1, 2
        ids[i + 24 : i + 32, j + 16 : j + 28] = 3
        image = np.where(ids > 0, 180, 30) + rng.integers(0, 20, ids.shape)
        image[i + 9 : i + 11, j : j + 12] -= 60
        name, ending = f"case_{number:02d}", ".png" if slices == 1 else ".nii"
        shape = (SIZE, SIZE, 1) if slices == 1 else (28, 36, slices)
        grid = Grid.from_spacing(shape, (1.0, 1.0, 1.0), "mm")
        files = {
            f"imagesTr/{name}_0000": image.astype(np.uint8),
            f"labelsTr/{name}": (ids > 0).astype(np.uint8),
            f"instancesTr/{name}": ids,
        }
        for place, array in files.items():
            whole = np.repeat(array[: shape[0], : shape[1]], slices, axis=2)
            write_label(folder / f"{place}{ending}", whole, grid)
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "intensity"},
            "labels": {"background": 0, "square": 1},
            "numTraining": cases,
            "file_ending": ending,
        },
    )


def run_to_weigh(paths: Paths, params: TrainParams, **weighed: Any) -> None:
    run_to_split(paths, dimensions=params.dimensions)
    plan.run(PLAN, models={"m": params}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(changed(WEIGHED, **weighed), paths=paths)


@pytest.fixture(scope="module", params=[CONTACT, DISTANCE], ids=lambda p: p.target)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("pairs"))
    write_pairs(paths.data, cases=10)
    run_to_weigh(paths, request.param)
    train(paths, request.param, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    return paths


def test_touching_instances_are_told_apart_and_the_label_map_stays_whole(
    trained: Paths,
) -> None:
    """The pair is one component of the label map, whose line is no background."""
    document = json.loads(
        (trained.artifacts / "evaluate" / "m" / "metrics.json").read_text()
    )
    cases = read_cases(trained.artifacts)
    for name in read_split(trained.artifacts).test:
        label = read_prediction(trained.artifacts, "m", cases, name)
        ids = read_predicted_instances(trained.artifacts, "m", cases, name)
        assert label is not None
        assert ids is not None
        assert components(label.array > 0, connectivity="all").max() == 2
        assert ids.array.max() == 3
        assert ((ids.array > 0) == (label.array > 0)).all()

    assert document["instances"]["f1"] == 1
    assert document["test"]["dice_mean"] > 0.95


def test_the_epoch_and_the_rules_are_chosen_by_instances(trained: Paths) -> None:
    spec = Segmenter.load(trained.artifacts / "train" / "m" / "0" / "segmenter").spec
    record = (trained.artifacts / "train" / "m" / "0" / "history.csv").read_text()

    channels, seeds = {
        "contact": (3, "probability"),
        "distance": (1 + LEVELS, "depth"),
    }[spec.target]
    assert spec.network.out_channels == channels
    assert [rule.seeds for rule in spec.instances] == [seeds]
    assert "validation_instance_ap" in record.splitlines()[0]


def test_segment_writes_the_instances_that_evaluate_counts(
    trained: Paths, tmp_path: Path
) -> None:
    name = read_split(trained.artifacts).test[0]
    settings = SegmentSettings(
        instances=True, overlap_fraction=PREDICT.overlap_fraction, device="cpu"
    )
    segment(
        str(trained.artifacts / "train" / "m" / "0" / "segmenter"),
        [trained.data / "imagesTr" / f"{name}_0000.png"],
        tmp_path / "out",
        settings,
        force=False,
        paths=trained,
    )

    found = read_label(tmp_path / "out" / f"{name}_instances.png").array
    cases = read_cases(trained.artifacts)
    expected = read_predicted_instances(trained.artifacts, "m", cases, name)
    assert expected is not None
    assert (found == expected.array).all()


def test_the_report_shows_by_what_the_epoch_was_chosen(trained: Paths) -> None:
    shown = report.ReportParams(overlays=True)
    report.run(shown, models=["m"], folds=[0], paths=trained)

    page = page_file(trained.artifacts).read_text(encoding="utf-8")
    target = Segmenter.load(trained.artifacts / "train/m/0/segmenter").spec.target
    assert f"target {target}, judged by instances" in page


def test_the_ceiling_of_a_target_is_that_of_the_labels(trained: Paths) -> None:
    """The label map has no gaps, and the seeds part the pair."""
    spec = Segmenter.load(trained.artifacts / "train" / "m" / "0" / "segmenter").spec
    found = find_ceilings({"m": spec}, instance_iou=0.5, paths=trained)["m"]

    assert found.dice == (1, 1, 1)
    assert found.instance_f1 == 1
    assert found.merges == 0


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("columns"))
    write_pairs(paths.data, cases=4, slices=16)
    run_to_weigh(paths, changed(CONTACT, network="unet3d", patch_size=(16, 16, 16)))
    return paths


def evaluated(paths: Paths, params: TrainParams) -> tuple[int, LabelMap, LabelMap]:
    """Run the stages from plan to evaluate: channels, and labels and ids of a case."""
    plan.run(PLAN, models={"m": params}, paths=paths)
    train(paths, params, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)

    spec = Segmenter.load(paths.artifacts / "train" / "m" / "0" / "segmenter").spec
    cases, name = read_cases(paths.artifacts), read_split(paths.artifacts).test[0]
    label = read_prediction(paths.artifacts, "m", cases, name)
    ids = read_predicted_instances(paths.artifacts, "m", cases, name)
    assert label is not None
    assert ids is not None
    return spec.network.out_channels, label, ids


@pytest.mark.parametrize("network", [n for n in NETWORKS if not brings_loss(n)])
@pytest.mark.parametrize(
    ("target", "sparse"), [("contact", False), ("contact", True), ("distance", True)]
)
def test_each_network_learns_a_target_of_instances_in_volumes(
    columns: Paths, network: NetworkName, target: Target, sparse: bool
) -> None:
    kind = NETWORKS[network]
    flat = kind.dimensions == 2
    with torch.device("meta"):
        side = kind(1, 2, padding="same").input_size(32 if flat else 16)
    first = side * (1 + network.startswith("monai"))  # no single voxel at its bottom
    params = changed(
        CONTACT,
        network=network,
        **narrow(network),
        patch_size=(side, side, 1) if flat else (first, side, side),
        slice_axis=2 if flat else "auto",
        batch_size=1,
        sparse_annotation=sparse,
        target=target,
        epochs=1,
        steps_per_epoch=1,
    )
    channels, label, ids = evaluated(columns, params)

    assert channels == (3 if target == "contact" else 1 + LEVELS)
    assert set(np.unique(label.array)) <= {0, 1}
    assert not ids.array[label.array == 0].any()


@pytest.mark.parametrize("sparse", [False, True])
def test_objects_of_mask_r_cnn_are_the_instances_that_are_counted(
    columns: Paths, sparse: bool
) -> None:
    """Slice by slice, through all stages."""
    params = changed(
        CONTACT,
        network="maskrcnn",
        **needed("maskrcnn"),
        base_channels=2,
        patch_size=(32, 32, 1),
        slice_axis=2,
        batch_size=2,
        sparse_annotation=sparse,
        target="labels",
        calibrate=True,
        epochs=1,
        steps_per_epoch=2,
    )
    channels, label, _ = evaluated(columns, params)

    assert channels == 2
    assert set(np.unique(label.array)) <= {0, 1}


def test_contact_needs_lines_to_learn(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_pairs(paths.data, cases=10)
    run_to_weigh(paths, CONTACT, separate_touching=False, levels=False)

    with pytest.raises(DataError, match=r"set weigh\.separate_touching: true"):
        train(paths, CONTACT, model="m")
    weigh.run(WEIGHED, paths=paths)
    train(paths, changed(CONTACT, epochs=1, steps_per_epoch=1), model="m")


@pytest.mark.parametrize(
    "changes", [{"target": "labels"}, {"judged_by": "dice"}], ids=["judged", "target"]
)
def test_without_ids_the_plan_says_which_preset_to_take(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    """Not the training, an hour later; what it says works."""
    paths = Paths(tmp_path)
    write_pairs(paths.data, cases=10)
    shutil.rmtree(paths.data / "instancesTr")
    run_to_split(paths, dimensions=2)

    models = {"m": changed(CONTACT, **changes)}
    with pytest.raises(DataError, match=r"set both so, as `segpipe preset border"):
        plan.run(PLAN, models=models, paths=paths)
    preset = read_params(ROOT / "presets" / "border-weights.yaml")["train"]
    mended = {
        name: parse_section(TrainParams, values, where=name)
        for name, values in preset.items()
    }
    plan.run(PLAN, models=mended, paths=paths)


def test_distance_needs_levels_to_learn(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_pairs(paths.data, cases=10)
    run_to_weigh(paths, DISTANCE, levels=False)

    with pytest.raises(DataError, match=r"set weigh\.levels: true"):
        train(paths, DISTANCE, model="m")
    with pytest.raises(ValueError, match="separate_touching: true beside levels"):
        changed(WEIGHED, separate_touching=False)


@pytest.mark.parametrize("params", [CONTACT, DISTANCE], ids=lambda p: p.target)
def test_such_targets_have_no_class_weight_by_counts(params: TrainParams) -> None:
    with pytest.raises(ValueError, match="class_weights: none"):
        changed(params, class_weights="balanced")
