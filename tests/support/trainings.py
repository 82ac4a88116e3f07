"""What a training leaves in artifacts/train, written without training."""

from typing import Any

from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths

HISTORY = """\
epoch,step,training_loss,learning_rate,validation_dice,validation_iou,validation_pa
1,10,1.5,0.01,,,
2,20,0.5,0.001,0.75,0.6,0.9
"""


def training_record(model: str, fold: int, *, seed: int = 0) -> dict[str, Any]:
    """What is known of a training before it begins."""
    return {
        "model": model,
        "fold": fold,
        "fingerprint": f"{model}-{fold}-{seed}",
        "parent": f"{model}-{seed}",
        "params": {
            "network": "vnet",
            "loss": {"name": "cross_entropy"},
            "border_weights": True,
            "sparse_annotation": False,
            "epochs": 2,
            "steps_per_epoch": 10,
        },
        "inputs": {},
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
    }


def write_training(paths: Paths, model: str, fold: int, *, seed: int = 0) -> None:
    """Write the record and the history of a training, and a stand-in for its spec."""
    folder = paths.artifacts / "train" / model / str(fold)
    write_text(folder / "history.csv", HISTORY)
    write_text(folder / "segmenter" / "spec.json", f"{model} {fold}")
    record = training_record(model, fold, seed=seed)
    write_json(folder / "fingerprint.json", record)
