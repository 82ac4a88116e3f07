"""The training loop: what it learns from, and that it goes on where it was."""

import csv
import importlib
import json
import logging
import math
import re
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segpipe.dataset.prepared import prepared_case
from segpipe.dataset.split import read_split
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.nifti import read_image, read_label
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.stages import plan, weigh
from segpipe.stages import train as train_stage
from segpipe.stages.train import Observer
from segpipe.training.record import TrainingRecord, read_history, read_record
from segpipe.training.task.section import TrainParams
from segpipe.training.validation.choosing import choose_postprocessing
from tests.support import forks
from tests.support.narrow import needed
from tests.support.phantoms import write_dataset
from tests.support.places import ROOT
from tests.support.projects import (
    PATIENTS,
    PLAN,
    TRAIN,
    WEIGH,
    changed,
    one_thread,
    run_to_annotate,
    train,
    with_loss,
)

SMALL = changed(TRAIN, epochs=3, steps_per_epoch=3, validation_interval=2)
LEARNING = changed(
    SMALL,
    epochs=3,
    steps_per_epoch=40,
    base_channels=4,
    sparse_annotation=False,
    border_weights=False,
    class_weights="none",
    loss=with_loss("dice_cross_entropy"),
)
MODELS = {
    "unet3d": SMALL,
    "unet2d": changed(
        SMALL, network="unet2d", patch_size=(16, 16, 1), sparse_annotation=False
    ),
    "vnet": changed(
        SMALL, network="vnet", loss=with_loss("dice"), patch_size=(16, 16, 16)
    ),
    "resenc3d": changed(
        SMALL,
        network="resenc3d",
        loss=changed(with_loss("dice_cross_entropy"), deep_supervision=True),
        optimizer=changed(TRAIN.optimizer, ema=0.9),
        patch_size=(16, 16, 8),
    ),
}
MODELS["coarse"] = changed(MODELS["vnet"], coarse=True)
# Two that normalize by the batch; one of them draws regions, too.
KILLED = {
    "unet3d": changed(
        SMALL, epochs=40, steps_per_epoch=2, validation_interval=10, seed=7
    ),
    "segnet": changed(
        SMALL,
        **{"network": "segnet", "base_channels": 1, "patch_size": (32, 32, 1)},
        **{"epochs": 24, "steps_per_epoch": 1, "validation_interval": 24},
        sparse_annotation=False,
    ),
    "maskrcnn": changed(
        SMALL,
        **{"network": "maskrcnn", "base_channels": 1, "patch_size": (16, 16, 1)},
        **{"epochs": 16, "steps_per_epoch": 1, "validation_interval": 16},
        **needed("maskrcnn"),
        sparse_annotation=False,
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Prepared once; trainings write beside each other."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_annotate(paths, {**KILLED, **MODELS})
    return paths


@pytest.fixture
def paths(project: Paths, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.root}/runs.db")
    return project


def weights(folder: Path) -> str:
    return digest_file(folder / "segmenter" / "weights-0.safetensors")


@pytest.mark.parametrize("model", list(MODELS))
def test_each_network_is_trained_and_says_how_it_went(model: str, paths: Paths) -> None:
    folder = train(paths, MODELS[model], model=model)

    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["3", "6", "9"]
    assert [bool(row["validation_dice"]) for row in rows] == [False, True, True]
    assert all(math.isfinite(float(row["training_loss"])) for row in rows)
    of_structures = [rows[-1][f"validation_dice/{name}"] for name in ("ball", "core")]
    mean = sum(map(float, of_structures)) / 2
    assert float(rows[-1]["validation_dice"]) == pytest.approx(mean, abs=1e-6)
    segmenter = Segmenter.ensemble([folder / "segmenter"])
    assert segmenter.spec.plan.values == (0, 1, 3)
    document = json.loads((folder / "fingerprint.json").read_text())
    assert document["compute"] == {
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "compile": False,
        "processes": 1,
    }


def test_learning_lowers_the_loss_and_finds_the_ball(paths: Paths) -> None:
    folder = train(paths, LEARNING, model="unet3d", fold=1)

    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["training_loss"]) < 0.6 * float(rows[0]["training_loss"])
    assert float(rows[-1]["validation_dice"]) > 0.6


def test_two_trainings_give_the_same_bytes(paths: Paths) -> None:
    first = weights(train(paths, SMALL, model="unet3d"))

    assert weights(train(paths, SMALL, model="unet3d")) == first
    other = changed(SMALL, seed=2)
    assert weights(train(paths, other, model="unet3d")) != first


def train_alone(paths: Paths, params: TrainParams, model: str, compiled: bool) -> None:
    """Train in this process; for a process of its own."""
    train_stage.run(
        params,
        model=model,
        fold=0,
        compute=replace(one_thread(), compile=compiled),
        paths=paths,
    )


def begin(paths: Paths, params: TrainParams, model: str) -> BaseProcess:
    """Begin a training that is killed."""
    return forks.start(train_alone, paths, params, model, False)


def wait_for_another(folder: Path, before: str, process: BaseProcess) -> None:
    """Wait for a checkpoint other than the newest one before."""
    began = time.monotonic()
    while newest(folder) == before:
        assert process.is_alive(), "the training ended"
        assert time.monotonic() - began < 60
        time.sleep(0.005)


def kill(process: BaseProcess) -> bool:
    """Kill a training; False if it had ended before."""
    process.kill()
    process.join(60)
    return process.exitcode == -signal.SIGKILL


def newest(folder: Path) -> str:
    """The last checkpoint of the only training under way; empty without one."""
    return max((path.name for path in folder.glob("*/*-*.pt")), default="")


@pytest.mark.parametrize("model", list(KILLED))
def test_a_training_killed_again_and_again_ends_with_the_same_bytes(
    model: str, paths: Paths
) -> None:
    params = KILLED[model]
    folder = paths.checkpoints / "train"
    rng = np.random.default_rng()
    kills = 0
    for _ in range(3):
        before = newest(folder)
        process = begin(paths, params, model)
        wait_for_another(folder, before, process)
        time.sleep(rng.uniform(0, 0.1))  # anywhere in the steps that follow
        kills += kill(process)
    assert kills == 3
    assert newest(folder)

    resumed = weights(train(paths, params, model=model))

    assert not list(folder.iterdir())
    assert weights(train(paths, params, model=model)) == resumed
    rows = (
        (paths.artifacts / "train" / model / "0/history.csv").read_text().splitlines()
    )
    assert len(rows) == params.epochs + 1


# Adam divides by the size of the gradient: rounding grows to the size of a step.
PLAIN_SGD = changed(TRAIN.optimizer, name="sgd", momentum=0.9)


TRAIN_ALONE = """
import pathlib, sys
from segpipe.project.paths import Paths
from segpipe.stages import train
from segpipe.training.task.section import TrainParams
from tests.support.projects import one_thread
train.run(
    TrainParams.model_validate_json(sys.argv[2]),
    model=sys.argv[3],
    fold=0,
    compute=one_thread(),
    paths=Paths(pathlib.Path(sys.argv[1])),
)
"""


def torchrun(*words: str) -> None:
    """What the command of this name does, in a process that has torch already."""
    importlib.import_module("torch.distributed.run").main([*words])


@pytest.mark.parametrize(("model", "ema"), [("coarse", 0.0), ("resenc3d", 0.9)])
def test_two_processes_train_like_one_with_the_whole_batch(
    model: str, ema: float, paths: Paths
) -> None:
    """Without statistics of the batch and without drop-out they are the same."""
    params = changed(MODELS[model], optimizer=changed(PLAIN_SGD, ema=ema))
    alone = Segmenter.load(train(paths, params, model=model) / "segmenter")
    script = paths.root / "alone.py"
    script.write_text(TRAIN_ALONE)
    words = ("--standalone", "--nproc-per-node=2", str(script), str(paths.root))
    environment = {"PYTHONPATH": str(ROOT)}
    words = (*words, params.model_dump_json(), model)
    forks.finish(forks.start(torchrun, *words, **environment))
    folder = paths.artifacts / "train" / model / "0"

    record = json.loads((folder / "fingerprint.json").read_text())
    assert record["compute"]["processes"] == 2
    together = Segmenter.load(folder / "segmenter")
    pairs = [(alone, together)]
    if model == "coarse":
        assert alone.coarse is not None
        assert together.coarse is not None
        pairs.append((alone.coarse, together.coarse))
    for one, other in pairs:
        found = other.networks[0].state_dict()
        for name, value in one.networks[0].state_dict().items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)


def test_a_training_with_an_average_that_stops_ends_with_the_same_bytes(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    params = MODELS["resenc3d"]
    whole = weights(train(paths, params, model="resenc3d"))

    @contextmanager
    def stopping(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
        def stop(rows: list[dict[str, float]]) -> None:
            if rows and rows[-1]["epoch"] == 2:
                raise KeyboardInterrupt

        yield Observer(log=stop, alive=lambda: None)

    with pytest.raises(KeyboardInterrupt):
        train_stage.run(
            params,
            model="resenc3d",
            fold=0,
            compute=one_thread(),
            paths=paths,
            observe=stopping,
        )
    with caplog.at_level(logging.INFO):
        again = weights(train(paths, params, model="resenc3d"))

    assert "resuming after epoch 2" in caplog.text
    assert again == whole
    plain = changed(params, optimizer=TRAIN.optimizer)
    assert weights(train(paths, plain, model="resenc3d")) != whole


def test_a_training_goes_on_from_another_with_a_schedule_of_its_own(
    paths: Paths,
) -> None:
    first = train(paths, SMALL, model="unet3d")
    shutil.copytree(first / "segmenter", paths.root / "old")
    digest = segmenter_digest(paths.root / "old")[:12]
    still = changed(SMALL.optimizer, learning_rate=0.0, weight_decay=0.0)
    params = changed(SMALL, start_from=f"old@{digest}", optimizer=still, epochs=1)
    folder = train(paths, params, model="unet3d", fold=1)

    for one, other in zip(
        Segmenter.load(paths.root / "old").networks[0].state_dict().values(),
        Segmenter.load(folder / "segmenter").networks[0].state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_calibrated_segmenter_divides_its_logits(paths: Paths) -> None:
    folder = train(paths, changed(SMALL, calibrate=True), model="unet3d")
    (temperature,) = Segmenter.load(folder / "segmenter").spec.temperatures
    plain = train(paths, SMALL, model="unet3d")

    assert 0.05 < temperature < 20
    assert temperature != 1
    assert Segmenter.load(plain / "segmenter").spec.temperatures == (1.0,)


def test_rules_that_validation_chose_reach_the_spec_and_the_label_map(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that has just begun to learn takes the rim of the ball for the core."""
    caplog.set_level("INFO")
    params = changed(LEARNING, postprocessing="auto", epochs=2, steps_per_epoch=10)
    folder = train(paths, params, model="unet3d", fold=1)
    tidy = Segmenter.load(folder / "segmenter")
    none = tidy.spec.model_copy(update={"postprocessing": ()})
    inference = Inference(0.5, "gaussian", 1.0, False, one_thread())
    scores = {}
    for name, made in {"plain": Segmenter(none, tidy.networks), "tidy": tidy}.items():
        scores[name] = [
            dice(
                read_label(paths.data / "labelsTr" / f"{case}.nii").array == 3,
                made.segment(
                    read_image(paths.data / "imagesTr" / f"{case}_0000.nii"), inference
                ).array
                == 3,
            )
            for case in read_split(paths.artifacts).folds[1].validation
        ]

    assert tidy.spec.rules[3].drops
    assert np.mean(scores["tidy"]) > np.mean(scores["plain"]) + 0.01
    assert re.search("post-processing of core: (drop|keep)", caplog.text)


def test_there_are_no_rules_unless_wanted_and_none_without_held_out_cases(
    paths: Paths,
) -> None:
    plain = Segmenter.load(train(paths, SMALL, model="unet3d") / "segmenter")

    assert plain.spec.postprocessing == ()
    inference = Inference(0.5, "gaussian", 1.0, False, one_thread())
    assert choose_postprocessing(plain, [], inference) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": "balanced"},
        {"patch_size": "full", "batch_size": 1},
        {"augmentation": changed(TRAIN.augmentation, histogram_matching=1.0)},
    ],
)
def test_other_ways_to_draw_patches_train_too(
    changes: dict[str, Any], paths: Paths
) -> None:
    params = changed(SMALL, epochs=1, **changes)
    plan.run(PLAN, models={"unet3d": params}, paths=paths)
    try:
        folder = train(paths, params, model="unet3d")
    finally:
        plan.run(PLAN, models=MODELS, paths=paths)

    assert (folder / "segmenter" / "spec.json").is_file()


def train_compiled(paths: Paths, params: TrainParams) -> None:
    """Train compiled, with the random numbers of the plain training.

    Without the vector types of ATen, a header that each of the kernels would compile
    anew, and by this process alone: both only save time.
    """
    inductor = importlib.import_module("torch._inductor.config")
    inductor.fallback_random = True
    inductor.compile_threads = 1
    inductor.cpp.vec_isa_ok = False
    train_alone(paths, params, "unet2d", True)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_network_learns_the_same_within_rounding(
    paths: Paths, tmp_path: Path
) -> None:
    """In a process of its own: the checks of shapes cannot be compiled.

    The 2-D network has the fewest kernels, and drop-out, as the plain one has it.
    """
    params = changed(MODELS["unet2d"], epochs=1, steps_per_epoch=2, optimizer=PLAIN_SGD)
    plain = Segmenter.load(train(paths, params, model="unet2d") / "segmenter")
    cold = str(tmp_path / "kernels")
    forks.finish(
        forks.start(train_compiled, paths, params, TORCHINDUCTOR_CACHE_DIR=cold)
    )
    folder = paths.artifacts / "train" / "unet2d" / "0"
    compiled = Segmenter.load(folder / "segmenter").networks[0].state_dict()

    assert json.loads((folder / "fingerprint.json").read_text())["compute"]["compile"]
    assert list(Path(cold).rglob("*.cpp"))
    for name, value in plain.networks[0].state_dict().items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-5)


def test_checkpoints_of_other_params_are_not_taken_up(paths: Paths) -> None:
    params = changed(SMALL, epochs=40, steps_per_epoch=2, seed=8)
    process = begin(paths, params, "unet3d")
    folder = paths.checkpoints / "train"
    wait_for_another(folder, "", process)
    assert kill(process)
    fresh = weights(train(paths, SMALL, model="unet3d"))

    (left,) = folder.iterdir()  # still there for whoever goes on with it
    shutil.rmtree(left)
    assert weights(train(paths, SMALL, model="unet3d")) == fresh


def halves(label: np.ndarray) -> np.ndarray:
    """Two instances that touch in the middle of each ball."""
    middle = int(np.argwhere(label > 0)[:, 0].mean())
    ids = np.where(np.arange(len(label)) < middle, 1, 2).reshape(-1, 1, 1)
    return np.where(label > 0, ids, 0).astype(np.int32)


@pytest.mark.parametrize("model", ["unet2d", "unet3d"])
def test_hidden_voxels_teach_nothing(
    model: str, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """Other labels where annotate hides them: the segmenter keeps all its bytes.

    Class weights, patches, border weights, lines, the best epoch, temperature and
    post-processing are all chosen without them.
    """
    caplog.set_level("INFO")
    params = changed(
        MODELS[model], sparse_annotation=True, calibrate=True, postprocessing="auto"
    )
    apart = changed(WEIGH, separate_touching=True)
    rng = np.random.default_rng(0)
    labels = {
        file: np.load(file)
        for file in (paths.artifacts / "preprocess").glob("*/label.npy")
    }
    for file, label in labels.items():
        np.save(file.with_name("instances.npy"), halves(label))
    digests = []
    for spoilt in (False, True):
        for file, label in labels.items() if spoilt else ():
            known = np.load(paths.artifacts / "annotate" / f"{file.parent.name}.npy")
            others = rng.integers(0, 3, label.shape)
            np.save(file, np.where(known >= 0, label, others).astype(np.int16))
            hidden = rng.integers(0, 5, label.shape)
            ids = np.where(known >= 0, halves(label), hidden)
            np.save(file.with_name("instances.npy"), ids.astype(np.int32))
        shutil.rmtree(paths.cache / "weigh")
        weigh.run(apart, paths=paths)
        folder = train(paths, params, model=model) / "segmenter"
        digests.append({file.name: digest_file(file) for file in folder.iterdir()})
    for file, label in labels.items():
        np.save(file, label)
        file.with_name("instances.npy").unlink()
    shutil.rmtree(paths.cache / "weigh")
    weigh.run(WEIGH, paths=paths)

    assert digests[0] == digests[1]
    assert len(digests[0]) == 2
    spec = Segmenter.load(folder).spec
    assert spec.separation is not None
    assert spec.temperatures != (1.0,)
    assert not spec.rules
    assert "nothing, as no validation case shows a whole component" in caplog.text


STILL = changed(TRAIN.optimizer, name="sgd", learning_rate=1e-12)
ENDS_EARLY = changed(
    SMALL,
    optimizer=STILL,
    border_weights=False,
    sparse_annotation=False,
    epochs=8,
    steps_per_epoch=1,
    validation_interval=1,
    patience=2,
)


@pytest.mark.parametrize("last", [2, 3])
def test_a_training_without_a_rise_ends_early_also_when_it_was_interrupted(
    last: int, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that learns nothing has the same Dice three times."""

    @contextmanager
    def interrupt(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
        def stop(rows: list[dict[str, float]]) -> None:
            if rows and rows[-1]["epoch"] == last:
                raise InterruptedError

        yield Observer(log=stop, alive=lambda: None)

    caplog.set_level("INFO")
    folder = train(paths, ENDS_EARLY, model="unet3d")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    whole = {file.name: digest_file(file) for file in files}
    with pytest.raises(InterruptedError):
        train_stage.run(
            ENDS_EARLY,
            model="unet3d",
            fold=0,
            compute=one_thread(),
            paths=paths,
            observe=interrupt,
        )
    train(paths, ENDS_EARLY, model="unet3d")

    assert {file.name: digest_file(file) for file in files} == whole
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert len({row["validation_dice"] for row in rows}) == 1
    assert rows[0]["validation_dice"] > 0
    poly = [1e-12 * (1 - step / 8) ** 0.9 for step in range(3)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(poly, rel=1e-6)
    assert read_record(folder).kept_epoch == 3
    assert "unet3d-0 ends after epoch 3 of 8" in caplog.text
    assert "at most 0:" in caplog.text


def test_a_fold_that_shows_nothing_or_finds_nothing_is_said_and_not_stopped(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """No structure in the validation cases; then one voxel of one that is not found."""
    params = changed(ENDS_EARLY, epochs=4, patience=1, postprocessing="auto")
    names = read_split(paths.artifacts).folds[0].validation
    prepared = {name: prepared_case(paths.artifacts, name) for name in names}
    labels = {name: np.array(one.label) for name, one in prepared.items()}
    said = []
    found = 0
    for voxel in (0, 1):
        for name, label in labels.items():
            changed_label = np.zeros_like(label)
            changed_label[0, 0, 0] = voxel * (2 if found == 1 else 1)
            np.save(prepared[name].folder / "label.npy", changed_label)
        folder = train(paths, params, model="unet3d")
        said.append(read_record(folder))
        made = Segmenter.load(folder / "segmenter")
        image = np.array(prepared[names[0]].image)
        inference = Inference(0.0, "constant", 1.0, False, one_thread())
        slab = next(iter(made.probabilities([image], image.shape[1:], inference)))
        found = int(slab.values.argmax(1)[0, 0, 0])
    for name, label in labels.items():
        np.save(prepared[name].folder / "label.npy", label)

    assert [one.kept_epoch for one in said] == [4, 4]
    assert "no validation case has an annotated structure" in said[0].warnings[0]
    assert len(said[0].warnings) == 1
    assert "no epoch found any structure" in said[1].warnings[-1]
    for one in said:
        assert f"train unet3d, fold 0: {one.warnings[-1]}" in caplog.text


def test_a_fold_that_split_has_not_is_refused(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"numbers below split\.n_folds = 2, found 5"):
        train(paths, SMALL, model="unet3d", fold=5)


def test_a_loss_that_is_no_number_stops_with_the_mend(paths: Paths) -> None:
    wild = changed(
        SMALL,
        epochs=20,
        optimizer={
            "name": "sgd",
            "learning_rate": 1e30,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 0.0,
            "schedule": "poly",
            "drop_interval": 100,
            "clip_norm": 0.0,
        },
    )

    with pytest.raises(
        DataError,
        match=r"finite loss.*on patches of case_.*lower optimizer\.learning_rate",
    ):
        train(paths, wild, model="unet3d")


def watch_memory(paths: Paths, params: TrainParams) -> str:
    """The memory that this process holds in MB, at each line of a training's log."""
    seen: list[float] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * resource.getpagesize() / 1e6)

    log = logging.getLogger("segpipe.stages.train")
    log.setLevel("INFO")
    log.addHandler(Watch())
    train(paths, params, model="unet3d")
    return " ".join(f"{value:.1f}" for value in seen)


@pytest.mark.slow
def test_memory_does_not_grow_over_epochs(paths: Paths, tmp_path: Path) -> None:
    params = changed(SMALL, epochs=30, steps_per_epoch=3, validation_interval=3)
    answer = forks.answer(watch_memory, tmp_path / "memory", paths, params)
    resident_mb = [float(word) for word in answer.split()]

    assert len(resident_mb) > 30
    assert max(resident_mb[-5:]) < max(resident_mb[5:10]) + 20
