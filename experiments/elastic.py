"""Elastic deformation lets a U-Net learn from few images: with and without it.

Source:
    Ronneberger 2015, arXiv:1505.04597, section 3.1.
"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages import publish
from experiments.trials import (
    ONE_PROCESS,
    Figures,
    Found,
    import_some,
    of_one_volume,
    parse_arguments,
    prepare,
    read_sections,
    run_arms,
)
from segpipe.project.paths import Paths
from segpipe.tools.importing.conversion import ImportOptions

OPTIONS = ImportOptions(structures={"interior": 255})
TRAINING, VALIDATION, TEST = 3, 2, 10
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "split": {"n_folds": 2},
    "weigh": {"workers": 1, "separate_touching": False},
    "train": {
        "base_channels": 8,
        "border_weights": False,
        "class_weights": "balanced",
        "patch_size": [256, 256, 1],
        "batch_size": 2,
        "epochs": 8,
        "steps_per_epoch": 200,
        "validation_interval": 2,
    },
}
STILL = {"rotation_deg": 0, "scale_fraction": 0}
STILL |= {"flip": False, "brightness": 0, "contrast_fraction": 0, "noise": 0}
PAPER = {"elastic_deviation": 10, "elastic_spacing": "coarse"}
ARMS: dict[str, dict[str, Any]] = {
    "no augmentation": {"train": {"augmentation": STILL}},
    "elastic only": {"train": {"augmentation": {**STILL, **PAPER}}},
    "all but elastic": {},
    "all": {"train": {"augmentation": PAPER}},
}


def main() -> None:
    """Run the trials; write docs/experiments/elastic.md."""
    given = parse_arguments("elastic", __doc__ or "", "~/sets/2d_isbi2012_em")
    base = read_sections("border-weights", "unet2d-plain", CHANGES)
    found: Found = {}
    for seed in given.seeds:
        paths = Paths(given.paths.root / f"seed-{seed}")
        import_some(given.data, paths.data, OPTIONS, sides(given.data, seed))
        prepare(paths, base)
        more = run_arms(base, ARMS, figures, paths=paths, seeds=[seed])
        for arm, rows in more.items():
            found.setdefault(arm, []).extend(map(of_one_volume, rows))
    publish("elastic", found, ("Dice membrane", "IoU membrane", "PA"))


def sides(source: Path, seed: int) -> dict[str, str]:
    """Draw few sections for training, others for each seed; keep the test sections."""
    names = sorted(file.stem for file in (source / "images").iterdir())
    test, rest = names[-TEST:], names[:-TEST]
    drawn = np.random.default_rng(seed).permutation(rest).tolist()
    chosen = dict.fromkeys(drawn[:TRAINING], "1")
    chosen |= dict.fromkeys(drawn[TRAINING : TRAINING + VALIDATION], "0")
    return chosen | dict.fromkeys(test, "test")


def figures(document: dict[str, Any]) -> Figures:
    """Figures of the membrane, the hard structure: the background of these labels."""
    pooled = document["dataset"]
    return {
        "Dice membrane": pooled["dice_dataset"]["background"],
        "IoU membrane": pooled["iou_dataset"]["background"],
        "Dice interior": pooled["dice_dataset"]["interior"],
        "PA": pooled["pixel_accuracy"],
    }


if __name__ == "__main__":
    main()
