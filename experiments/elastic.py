"""Elastic deformation lets a U-Net learn from few images: with and without.

Source:
    Ronneberger 2015, arXiv:1505.04597, section 3.1.
"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages import points, save_plot, write_page
from experiments.trials import (
    ONE_PROCESS,
    Arguments,
    Figures,
    Found,
    Sections,
    import_some,
    parse_arguments,
    prepare,
    read_sections,
    run_arms,
)
from segpipe.paths import Paths
from segpipe.tools.conversion import ImportOptions

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
    "no augmentation": STILL,
    "elastic only": {**STILL, **PAPER},
    "all but elastic": {},
    "all": PAPER,
}


# More steps and fewer images, where a network has more to forget.
LONGER: dict[str, Any] = {"epochs": 16, "validation_interval": 4}
LONGER_ARMS = ("no augmentation", "elastic only")


def main() -> None:
    """Run the trials; write docs/experiments/elastic.md."""
    given = parse_arguments("elastic", __doc__ or "", "~/sets/2d_isbi2012_em")
    base = read_sections("nuclei", "unet2d-plain", CHANGES)
    found: Found = {}
    for seed in given.seeds:
        arms = {
            arm: {"train": {"augmentation": changes}} for arm, changes in ARMS.items()
        }
        _add(found, run_set_up(given, base, seed, TRAINING, arms))
    for seed in given.seeds:
        arms = {
            f"{arm}, 1 section": {"train": {"augmentation": ARMS[arm], **LONGER}}
            for arm in LONGER_ARMS
        }
        _add(found, run_set_up(given, base, seed, 1, arms))
    write_page("elastic", found)
    names = ("Dice membrane", "PA")
    save_plot("elastic", [points(found, name) for name in names])


def run_set_up(
    given: Arguments,
    base: Sections,
    seed: int,
    training: int,
    arms: dict[str, dict[str, Any]],
) -> Found:
    """All arms on the same sections."""
    folder = f"seed-{seed}" if training == TRAINING else f"seed-{seed}-of-{training}"
    paths = Paths(given.paths.root / folder)
    import_some(given.data, paths.data, OPTIONS, sides(given.data, seed, training))
    prepare(paths, base)
    return run_arms(base, arms, figures, paths=paths, seeds=[seed])


def _add(found: Found, more: Found) -> None:
    for arm, rows in more.items():
        found.setdefault(arm, []).extend(rows)


def sides(source: Path, seed: int, training: int) -> dict[str, str]:
    """Few sections to learn from, another draw a seed; the same ones to test."""
    names = sorted(file.stem for file in (source / "images").iterdir())
    test, rest = names[-TEST:], names[:-TEST]
    drawn = np.random.default_rng(seed).permutation(rest).tolist()
    chosen = dict.fromkeys(drawn[:training], "1")
    chosen |= dict.fromkeys(drawn[training : training + VALIDATION], "0")
    return chosen | dict.fromkeys(test, "test")


def figures(document: dict[str, Any]) -> Figures:
    """The membrane is what is hard: the background of these labels."""
    pooled = document["dataset"]
    return {
        "Dice membrane": pooled["dice_dataset"]["background"],
        "IoU membrane": pooled["iou_dataset"]["background"],
        "Dice interior": pooled["dice_dataset"]["interior"],
        "PA": pooled["pixel_accuracy"],
    }


if __name__ == "__main__":
    main()
