"""V-Net learns better by its Dice loss than by multinomial logistic loss.

Source:
    Milletari 2016, arXiv:1606.04797, sections 3 and 5 (table 2, figure 6).
"""

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
        "base_channels": 4,
        "epochs": 6,
        "steps_per_epoch": 75,
        "validation_interval": 3,
    },
}
LOGISTIC = {"loss": {"name": "cross_entropy"}}
ARMS: dict[str, dict[str, Any]] = {
    "Dice loss": {},
    "logistic, re-weighted": {**LOGISTIC, "class_weights": "balanced"},
    "logistic, plain": LOGISTIC,
}


def main() -> None:
    """Run the trials; write docs/experiments/dice-loss.md."""
    given = parse_arguments("dice_loss", __doc__ or "", "~/sets/3d_msd_hippocampus")
    base = read_sections("hippocampus", "vnet", CHANGES)
    import_whole(given.data, given.paths.data, OPTIONS)
    prepare(given.paths, base)
    trials = [
        Trial(arm, seed, changed(base, train={**arm_changes, "seed": seed}))
        for seed in given.seeds
        for arm, arm_changes in ARMS.items()
    ]

    def work(trial: Trial, compute: Compute) -> Figures:
        return figures(train_and_test(trial, compute, given.paths))

    found = run_trials(trials, work, paths=given.paths)
    write_page("dice-loss", found)
    names = ("Dice", "HD95 mm", "volume error")
    save_plot("dice-loss", [points(found, name) for name in names])


def figures(document: dict[str, Any]) -> Figures:
    """The paper's figures, by structure where there is room."""
    test, structures = document["test"], document["structures"]
    return {
        "Dice": test["dice_mean"],
        **{f"Dice {name}": of["dice_mean"] for name, of in structures.items()},
        "HD95 mm": test["hd95_mm_mean"],
        "volume error": test["volume_error_mean"],
    }


if __name__ == "__main__":
    main()
