"""Which statistics a 3D U-Net should normalize by in use: the input's or running ones.

Source:
    Çiçek 2016, arXiv:1606.06650, section 2: "current batch statistics at test time".
"""

from typing import Any
from unittest.mock import patch

from jaxtyping import Float
from torch import Tensor, nn

from experiments.pages import publish
from experiments.trials import (
    HIPPOCAMPUS,
    ONE_PROCESS,
    PAIRS,
    Figures,
    Trial,
    changed,
    import_whole,
    parse_arguments,
    prepare,
    read_sections,
    run_trials,
    train_and_test,
)
from segpipe.networks import unet3d
from segpipe.networks.layers import CurrentStatisticsNorm
from segpipe.segmenter.compute import Compute

CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "train": {
        "base_channels": 8,
        "epochs": 6,
        "steps_per_epoch": 75,
        "validation_interval": 3,
    },
}


class BatchToTrain(CurrentStatisticsNorm):
    """Normalization by the statistics of the batch in training, of the input in use."""

    def forward(self, features: Float[Tensor, "B C i j k"]) -> Tensor:
        """Normalize, scale and shift each channel."""
        if self.training:
            return nn.functional.batch_norm(
                features, None, None, self.weight, self.bias, True, eps=self.eps
            )
        return super().forward(features)


ARMS: dict[str, type[nn.Module]] = {
    "input always": CurrentStatisticsNorm,
    "batch to train, input in use": BatchToTrain,
    "batch to train, running means in use": nn.BatchNorm3d,
}


def main() -> None:
    """Run the trials; write docs/experiments/normalization.md."""
    given = parse_arguments("normalization", __doc__ or "", "~/sets/3d_msd_hippocampus")
    base = read_sections("hippocampus", "unet3d", CHANGES)
    import_whole(given.data, given.paths.data, HIPPOCAMPUS)
    prepare(given.paths, base)
    trials = [
        Trial(arm, seed, changed(base, train={"seed": seed}))
        for seed in given.seeds
        for arm in ARMS
    ]

    def work(trial: Trial, compute: Compute) -> Figures:
        with patch.object(unet3d, "CurrentStatisticsNorm", ARMS[trial.arm]):
            document = train_and_test(trial, compute, given.paths)
        test = document["test"]
        return {
            "Dice": test["dice_mean"],
            "HD95 mm": test["hd95_mm_mean"],
            "worst Dice": test["dice_worst"],
            PAIRS: document[PAIRS],
        }

    found = run_trials(trials, work, paths=given.paths)
    publish("normalization", found, ("Dice", "HD95 mm", "worst Dice"))


if __name__ == "__main__":
    main()
