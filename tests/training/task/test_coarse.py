"""The coarse network: it learns beside each kind of model, resumes, and is measured."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segpipe.networks.build import build_network
from segpipe.project.errors import DataError
from segpipe.project.params import parse_section
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, Stopwatch
from segpipe.segmenter.inference.coarse import find_structures
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.stages import annotate, evaluate, plan, predict, preprocess, weigh
from segpipe.stages import train as train_stage
from segpipe.stages.train import Observe, Observer
from segpipe.training.distributed import World
from segpipe.training.record import TrainingRecord
from segpipe.training.task.build import build_task
from segpipe.training.task.coarse import build_coarse_spec, coarse_task
from segpipe.training.task.section import TrainParams
from segpipe.training.task.start import start_or_resume
from segpipe.training.validation.validate import usual_inference
from tests.support.phantoms import write_dataset, write_tumours
from tests.support.projects import (
    ANNOTATE,
    EVALUATE,
    PATIENTS,
    PLAN,
    PREDICT,
    PREPROCESS,
    TRAIN,
    WEIGH,
    changed,
    one_thread,
    run_to_annotate,
    run_to_split,
    train,
    with_loss,
)

SHORT: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 2, "coarse": True}
PLAIN: dict[str, Any] = {
    **SHORT,
    "border_weights": False,
    "sparse_annotation": False,
    "class_weights": "none",
    "loss": with_loss("dice_cross_entropy"),
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    write_dataset(found.data, cases=10, patients=PATIENTS)
    return found


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "segmenter").iterdir()}


def run_to_the_figures(paths: Paths, params: TrainParams) -> Segmenter:
    folder = train(paths, params, model="m")
    predict.run(PREDICT, model="m", folds=[0], compute=one_thread(), paths=paths)
    evaluate.run(EVALUATE, model="m", paths=paths)
    assert (folder / "coarse_history.csv").read_text().count("\n") == 2
    assert (paths.artifacts / "evaluate" / "m" / "metrics.json").is_file()
    return Segmenter.load(folder / "segmenter")


def test_it_trains_beside_sparse_slices_and_the_weights_of_the_paper(
    paths: Paths,
) -> None:
    params = changed(TRAIN, **SHORT)
    run_to_annotate(paths, {"m": params})

    made = run_to_the_figures(paths, params)

    assert made.spec.coarse is not None
    assert made.spec.coarse.factor == (2, 2, 1)  # of 1 x 1 x 2 mm
    assert made.coarse is not None
    assert made.coarse.spec.plan.spacing == (2, 2, 2)
    assert made.coarse.spec.network.out_channels == 2


def test_it_fits_valid_convolutions(paths: Paths) -> None:
    """Its patch is as large as these need, and it looks at all of a case."""
    params = changed(TRAIN, **SHORT, padding="valid", patch_size=(108, 108, 108))
    run_to_annotate(paths, {"m": params})
    task = build_task(params, "m", 0, one_thread(), paths, "0" * 20, World())
    assert task.patch.coarse is not None
    first = coarse_task(task, task.patch.coarse, lambda: None)
    own = build_network(first.spec.network)
    how = build_coarse_spec(task, task.patch.coarse)
    made = Segmenter(
        task.spec.model_copy(update={"coarse": how}),
        (build_network(task.spec.network),),
        Segmenter(first.spec, (own,)),
    )
    small = first.training[0]
    finder = made.finder(usual_inference(task))
    assert finder is not None

    found = find_structures(
        finder.spec,
        finder.networks[0],
        small.image,
        usual_inference(first),
        Stopwatch(),
    )

    assert first.patch.patch_size[0] > 88  # the margins
    assert found.shape == small.label.shape == (12, 10, 16)
    assert np.isfinite(found).all()


def test_it_trains_beside_structures_that_overlap(paths: Paths) -> None:
    write_tumours(paths.data, dimensions=3, patients=PATIENTS)
    params = changed(
        TRAIN,
        **PLAIN,
        network="vnet",
        base_channels=1,
        patch_size=(16, 16, 16),
        sampling="balanced",
        calibrate=True,
        postprocessing="auto",
    )
    run_to_annotate(paths, {"m": params})

    made = run_to_the_figures(paths, params)

    assert made.spec.network.out_channels == 3
    assert made.coarse is not None
    assert made.coarse.spec.network.out_channels == 2


def test_it_trains_beside_touching_instances(paths: Paths) -> None:
    write_dataset(paths.data, cases=10, patients=PATIENTS, instances=True)
    params = changed(TRAIN, **PLAIN, target="contact", judged_by="instances")
    run_to_split(paths)
    plan.run(PLAN, models={"m": params}, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(changed(WEIGH, separate_touching=True), paths=paths)

    made = run_to_the_figures(paths, params)

    assert made.coarse is not None
    assert made.coarse.spec.target == "labels"


def stopping_after(signs: int) -> Observe:
    """Observes a training that a person ends after some signs of life."""

    @contextmanager
    def stopping(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
        left = iter(range(signs))

        def alive() -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        yield Observer(log=lambda rows: None, alive=alive)

    return stopping


def test_an_interrupted_training_ends_with_the_same_bytes(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """Interrupted while the coarse network learns, and while the other one does."""
    params = changed(TRAIN, **{**PLAIN, "epochs": 6})
    run_to_annotate(paths, {"m": params})
    whole = bytes_of(train(paths, params, model="m"))
    assert set(whole) == {
        "spec.json",
        "weights-0.safetensors",
        "coarse-0.safetensors",
    }

    for signs in (10, 15):  # of 6 cases that are shrunk, then 4 an epoch
        with pytest.raises(KeyboardInterrupt):
            train_stage.run(
                params,
                model="m",
                fold=0,
                compute=one_thread(),
                paths=paths,
                observe=stopping_after(signs),
            )
    with caplog.at_level(logging.INFO):
        again = bytes_of(train(paths, params, model="m"))

    assert "resuming after epoch 2" in caplog.text  # of 2, the coarse one
    assert "resuming after epoch 1" in caplog.text
    assert again == whole
    assert not list((paths.checkpoints / "train").iterdir())


def test_it_finds_the_structures_and_says_what_it_misses(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """After a short training it looks at a part, and loses nothing held out."""
    write_dataset(paths.data, cases=10, patients=PATIENTS, shape=(56, 48, 32))
    params = changed(
        TRAIN, **{**PLAIN, "epochs": 5, "steps_per_epoch": 15}, base_channels=4
    )
    run_to_annotate(paths, {"m": params})

    with caplog.at_level(logging.INFO):
        folder = train(paths, params, model="m")

    made = Segmenter.load(folder / "segmenter")
    assert made.spec.coarse is not None
    assert made.spec.coarse.missed <= 0.001
    assert "of a component lie elsewhere in the worst case" in caplog.text
    task = build_task(params, "m", 0, one_thread(), paths, "0" * 20, World())
    finder = made.finder(usual_inference(task))
    assert finder is not None
    assert task.patch.coarse is not None
    first = coarse_task(task, task.patch.coarse, lambda: None)
    for case, small in zip(first.validation, task.validation, strict=True):
        assert case.name == small.name
    shares = []
    for case in task.validation:
        near = finder.find(
            iter([case.image]),
            case.label.shape,
            usual_inference(task),
            slices_at=0,
            backwards=False,
            stopwatch=Stopwatch(),
        )
        i, j, k = case.label.shape
        seen = near.planes(0, i, slice(0, j), slice(0, k))
        missed = (np.asarray(case.label) > 0) & ~seen
        shares.append(seen.mean())
        assert missed.sum() <= made.spec.coarse.missed * (case.label > 0).sum()
    assert max(shares) < 0.9
    assert np.mean(shares) == pytest.approx(made.spec.coarse.looked_at, abs=1e-3)


def test_without_the_key_nothing_says_coarse(paths: Paths) -> None:
    params = changed(TRAIN, epochs=1, steps_per_epoch=1)
    run_to_annotate(paths, {"m": params})
    folder = train(paths, params, model="m")

    assert "coarse" not in params.model_dump()
    for file in ("segmenter/spec.json", "fingerprint.json"):
        assert '"coarse"' not in (folder / file).read_text().replace(
            '"elastic_spacing": "coarse"', ""
        )
    patch = paths.artifacts / "plan" / "patches" / "m.json"
    assert "coarse" not in json.loads(patch.read_text())


def test_a_network_of_single_slices_has_no_coarse_one() -> None:
    values = {**TRAIN.model_dump(), "network": "unet2d", "coarse": True}

    with pytest.raises(DataError, match="coarse: expected false beside a 2-D network"):
        parse_section(TrainParams, values, where="params")


def test_all_structures_are_drawn_as_often_and_background_is_known_between_slices(
    paths: Paths,
) -> None:
    """One slice in each direction is annotated, and blocks span two and more."""
    params = changed(TRAIN, **SHORT, sampling="balanced")
    run_to_annotate(paths, {"m": params})
    task = build_task(params, "m", 0, one_thread(), paths, "0" * 20, World())
    assert task.patch.coarse is not None
    how = task.patch.coarse.model_copy(update={"factor": (2, 2, 2)})

    first = coarse_task(task, how, lambda: None)

    for case, small in zip(task.training, first.training, strict=True):
        assert {0, 1, 2} >= set(small.places) == set(case.places)
        assert (small.label == 0).any()
        assert (small.label < 0).any()
        for number, places in small.places.items():
            assert (small.label[tuple(places.T)] == min(number, 1)).all()
    assert first.class_weights[0] > 0


def test_it_starts_from_the_coarse_network_of_another_segmenter(paths: Paths) -> None:
    params = changed(TRAIN, **PLAIN)
    run_to_annotate(paths, {"m": params})
    folder = train(paths, params, model="m") / "segmenter"
    place = folder.relative_to(paths.root)
    address = f"{place}@{segmenter_digest(folder)[:12]}"
    params = changed(params, start_from=address)
    task = build_task(params, "m", 0, one_thread(), paths, "0" * 20, World())
    assert task.patch.coarse is not None

    progress = start_or_resume(coarse_task(task, task.patch.coarse, lambda: None))

    made = Segmenter.load(folder)
    assert made.coarse is not None
    for name, value in made.coarse.networks[0].state_dict().items():
        assert torch.equal(progress.network.state_dict()[name], value)
