"""bfloat16 trains as well as float32: the rest equal, and how long each takes.

No paper's claim, but ours: `compute.precision: auto` takes bfloat16 where the hardware
multiplies it.
"""

import time
from typing import Any

from experiments.pages import points, save_plot, write_page
from experiments.trials import (
    ONE_PROCESS,
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
from segpipe.compute import Compute
from segpipe.tools.conversion import ImportOptions

OPTIONS = ImportOptions(
    images="images", labels="labels", structures={"anterior": 1, "posterior": 2}
)
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "train": {
        "base_channels": 8,
        "epochs": 6,
        "steps_per_epoch": 50,
        "validation_interval": 3,
    },
}
ARMS = {"bfloat16": "bf16", "float32": "fp32"}


def main() -> None:
    """Run the trials; write docs/experiments/precision.md."""
    given = parse_arguments("precision", __doc__ or "", "~/sets/3d_msd_hippocampus")
    base = read_sections("hippocampus", "unet3d", CHANGES)
    import_whole(given.data, given.paths.data, OPTIONS)
    prepare(given.paths, base)
    trials = [
        Trial(
            arm,
            seed,
            changed(base, compute={"precision": precision}, train={"seed": seed}),
        )
        for seed in given.seeds
        for arm, precision in ARMS.items()
    ]

    def work(trial: Trial, compute: Compute) -> Figures:
        began = time.perf_counter()
        document = train_and_test(trial, compute, given.paths)
        minutes = (time.perf_counter() - began) / 60
        return {**figures(document), "minutes, all stages": minutes}

    found = run_trials(trials, work, paths=given.paths)
    write_page("precision", found)
    save_plot("precision", [points(found, name) for name in ("Dice", "IoU")])


def figures(document: dict[str, Any]) -> Figures:
    """Overlap, of all structures and of each."""
    test, structures = document["test"], document["structures"]
    return {
        "Dice": test["dice_mean"],
        **{f"Dice {name}": of["dice_mean"] for name, of in structures.items()},
        "IoU": test["iou_mean"],
    }


if __name__ == "__main__":
    main()
