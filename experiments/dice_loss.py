"""V-Net learns better with its Dice loss than with the multinomial logistic loss.

Source:
    Milletari 2016, arXiv:1606.04797, sections 3 and 5 (table 2, figure 6).
"""

from typing import Any

from experiments.pages import publish
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
        "base_channels": 4,
        "epochs": 6,
        "steps_per_epoch": 75,
        "validation_interval": 3,
    },
}
LOGISTIC = {"loss": {"name": "cross_entropy"}}
ARMS: dict[str, dict[str, Any]] = {
    "Dice loss": {},
    "logistic, re-weighted": {"train": {**LOGISTIC, "class_weights": "balanced"}},
    "logistic, plain": {"train": LOGISTIC},
}


def main() -> None:
    """Run the trials; write docs/experiments/dice-loss.md."""
    given = parse_arguments("dice_loss", __doc__ or "", "~/sets/3d_msd_hippocampus")
    base = read_sections("hippocampus", "vnet", CHANGES)
    import_whole(given.data, given.paths.data, HIPPOCAMPUS)
    prepare(given.paths, base)
    found = run_arms(base, ARMS, figures, paths=given.paths, seeds=given.seeds)
    publish("dice-loss", found, ("Dice", "HD95 mm", "volume error"))


def figures(document: dict[str, Any]) -> Figures:
    """The paper's figures; Dice also by structure."""
    test, structures = document["test"], document["structures"]
    return {
        "Dice": test["dice_mean"],
        **{f"Dice {name}": of["dice_mean"] for name, of in structures.items()},
        "HD95 mm": test["hd95_mm_mean"],
        "volume error": test["volume_error_mean"],
    }


if __name__ == "__main__":
    main()
