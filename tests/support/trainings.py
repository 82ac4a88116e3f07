"""What a training leaves in artifacts/train, written without training."""

from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.segmenter.spec import spec_file
from segpipe.training.record import (
    TrainingRecord,
    history_file,
    record_file,
    segmenter_folder,
    training_folder,
)

HISTORY = """\
epoch,step,training_loss,learning_rate,validation_dice,validation_iou,validation_pa
1,10,1.5,0.01,,,
2,20,0.5,0.001,0.75,0.6,0.9
"""


def training_record(model: str, fold: int, *, seed: int = 0) -> TrainingRecord:
    """The record of a training before it begins."""
    return TrainingRecord(
        format_version=1,
        fingerprint=f"{model}-{fold}-{seed}",
        parent=f"{model}-{seed}",
        fold=fold,
        model=model,
        params={
            "network": "vnet",
            "loss": {"name": "cross_entropy"},
            "border_weights": True,
            "sparse_annotation": False,
            "epochs": 2,
            "steps_per_epoch": 10,
        },
        compute={"device": "cpu", "precision": "fp32", "threads": 1},
        inputs={},
        versions={},
    )


def write_training(paths: Paths, model: str, fold: int, *, seed: int = 0) -> None:
    """Write the record and the history of a training, and a stand-in for its spec."""
    folder = training_folder(paths.artifacts, model, fold)
    write_text(history_file(folder), HISTORY)
    write_text(spec_file(segmenter_folder(folder)), f"{model} {fold}")
    training_record(model, fold, seed=seed).write(record_file(folder))
