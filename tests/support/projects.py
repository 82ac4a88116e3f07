"""A small project, brought to any stage by the stages themselves."""

from pathlib import Path
from typing import Any

from segpipe.planning.params import PlanParams
from segpipe.planning.sides.assignment import SplitParams
from segpipe.project.documents import write_json, write_text
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, ComputeParams, build_compute
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    split,
    verify,
    weigh,
)
from segpipe.stages import train as train_stage
from segpipe.training.losses import LossParams
from segpipe.training.optimization import OptimizerParams
from segpipe.training.patches.augmentation import AugmentationParams
from segpipe.training.task.section import TrainParams
from tests.support.phantoms import write_dataset

PATIENTS = {f"case_{n:02d}": f"smith_{n // 2}" for n in range(10)}
JUDGED = {f"case_{n:02d}": f"smith_{max(n // 2, n - 4)}" for n in range(14)}
VERIFY = verify.VerifyParams(
    grid_tolerance_mm=0.01,
    empty_label="warn",
    spacing_limits_mm=(1e-5, 100.0),
    workers=1,
)
SPLIT = SplitParams(seed=2, test_fraction=0.4, n_folds=2)
PLAN = PlanParams(
    spacing="auto", normalization="auto", memory_gb=1.0, largest_batch=2, workers=1
)
PREPROCESS = preprocess.PreprocessParams(workers=1)
WEIGH = weigh.WeighParams(
    w0=10.0,
    sigma=5.0,
    unit="px",
    slice_axis="auto",
    domain="background",
    separate_touching=False,
    workers=1,
)
ANNOTATE = annotate.AnnotateParams(rule="evenly", slices=(2, 2, 2), seed=1)
TRAIN = TrainParams(
    network="unet3d",
    base_channels=2,
    padding="same",
    loss=LossParams(
        name="cross_entropy",
        reduction="mean",
        focal_gamma=2.0,
        focal_alpha=1.0,
        kept_fraction=1.0,
    ),
    class_weights="balanced",
    border_weights=True,
    sparse_annotation=True,
    slice_axis="auto",
    patch_size=(16, 16, 8),
    batch_size=2,
    sampling="foreground",
    foreground_fraction=0.5,
    augmentation=AugmentationParams(
        flip=True,
        rotation_deg=10.0,
        scale_fraction=0.1,
        elastic_deviation=1.0,
        elastic_spacing=8,
        brightness=0.1,
        contrast_fraction=0.1,
        noise=0.1,
        histogram_matching=0.0,
    ),
    optimizer=OptimizerParams(
        name="adamw",
        learning_rate=0.01,
        momentum=0.9,
        nesterov=False,
        weight_decay=0.0,
        schedule="poly",
        drop_interval=100,
        clip_norm=1.0,
    ),
    start_from="none",
    epochs=2,
    steps_per_epoch=4,
    validation_interval=1,
    validation_overlap_fraction=0.0,
    calibrate=False,
    postprocessing="none",
    seed=1,
)
PREDICT = predict.PredictParams(
    overlap_fraction=0.25, blending="gaussian", memory_gb=1, mirror=False
)
EVALUATE = evaluate.EvaluateParams(
    surface_tolerance=1.0, instance_iou=0.5, group_by=("site",), workers=1
)


def changed(params: Any, **values: Any) -> Any:
    """The params with other values, checked again."""
    assert isinstance(params, Params)
    return type(params).model_validate({**params.model_dump(), **values})


def with_loss(name: str) -> LossParams:
    """The project's loss section with another loss."""
    return LossParams.model_validate({**TRAIN.loss.model_dump(), "name": name})


def one_thread() -> Compute:
    """The processor, in float32."""
    return build_compute(
        ComputeParams(
            device="cpu", precision="fp32", threads=1, workers=1, compile=False
        )
    )


def write_sides(paths: Paths) -> None:
    """Put three patients of JUDGED, with six cases, into folds and seven to test."""
    names = list(dict.fromkeys(JUDGED.values()))
    sides = ["0", "1", "1", *["test"] * 7]
    rows = [f"{name},{side}\n" for name, side in zip(names, sides, strict=True)]
    write_text(paths.data / "splits.csv", "patient,side\n" + "".join(rows))


def run_to_split(paths: Paths, *, dimensions: int = 3) -> None:
    """Verify and split what lies in data/."""
    verify.run(VERIFY, networks={"m": dimensions}, paths=paths)
    split.run(SPLIT, paths=paths)


def run_to_annotate(paths: Paths, models: dict[str, TrainParams]) -> None:
    """All that comes before training."""
    run_to_split(paths, dimensions=min(m.dimensions for m in models.values()))
    plan.run(PLAN, models=models, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    annotate.run(ANNOTATE, paths=paths)
    weigh.run(WEIGH, paths=paths)


def train(paths: Paths, params: TrainParams, *, model: str, fold: int = 0) -> Path:
    """Train one network; returns its folder."""
    train_stage.run(params, model=model, fold=fold, compute=one_thread(), paths=paths)
    return paths.artifacts / "train" / model / str(fold)


def run_to_evaluate(paths: Paths) -> None:
    """A whole project of two models, one that learnt a little and one that did not.

    The test patients are as many as the gate needs; params.yaml holds the sections
    that tools read.
    """
    good = changed(
        TRAIN,
        epochs=2,
        steps_per_epoch=40,
        base_channels=4,
        sparse_annotation=False,
        border_weights=False,
        class_weights="none",
        loss=with_loss("dice_cross_entropy"),
    )
    models = {"poor": changed(good, epochs=1, steps_per_epoch=2), "good": good}
    write_dataset(paths.data, cases=14, patients=JUDGED)
    write_sides(paths)
    run_to_annotate(paths, models)
    for name, params in models.items():
        train(paths, params, model=name)
        predict.run(PREDICT, model=name, folds=[0], compute=one_thread(), paths=paths)
        evaluate.run(EVALUATE, model=name, paths=paths)
    document = {
        "format_version": 1,
        "compute": {
            "device": "cpu",
            "precision": "fp32",
            "threads": 1,
            "workers": 1,
            "compile": False,
        },
        "models": list(models),
        "folds": [0],
        "predict": PREDICT.model_dump(mode="json"),
        "evaluate": EVALUATE.model_dump(mode="json"),
    }
    write_json(paths.params, document)
