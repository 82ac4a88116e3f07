"""bfloat16 trains as well as float32: the rest equal, and how long each takes.

No paper's claim, but ours: `compute.precision: auto` takes bfloat16 where the hardware
multiplies it.
"""

from typing import Any

from experiments.pages import points, save_plot, write_page
from experiments.trials import (
    HIPPOCAMPUS,
    ONE_PROCESS,
    Figures,
    import_whole,
    parse_arguments,
    prepare,
    read_sections,
    run_arms,
)

CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "train": {
        "base_channels": 8,
        "epochs": 6,
        "steps_per_epoch": 50,
        "validation_interval": 3,
        # SGD with momentum .99 has not settled after so few steps: chance would decide.
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "momentum": 0.9,
            "nesterov": False,
            "clip_norm": 1,
        },
    },
}
ARMS = {
    "bfloat16": {"compute": {"precision": "bf16"}},
    "float32": {"compute": {"precision": "fp32"}},
}


def main() -> None:
    """Run the trials; write docs/experiments/precision.md."""
    given = parse_arguments("precision", __doc__ or "", "~/sets/3d_msd_hippocampus")
    base = read_sections("hippocampus", "unet3d", CHANGES)
    import_whole(given.data, given.paths.data, HIPPOCAMPUS)
    prepare(given.paths, base)
    found = run_arms(base, ARMS, figures, paths=given.paths, seeds=given.seeds)
    write_page("precision", found)
    save_plot("precision", [points(found, name) for name in ("Dice", "IoU")])


def figures(document: dict[str, Any]) -> Figures:
    """Overlap, of all structures and of each, and the time on this machine."""
    test, structures = document["test"], document["structures"]
    return {
        "Dice": test["dice_mean"],
        **{f"Dice {name}": of["dice_mean"] for name, of in structures.items()},
        "IoU": test["iou_mean"],
        "minutes, all stages": document["minutes"],
    }


if __name__ == "__main__":
    main()
