"""Border weights separate touching nuclei: trainings with and without them.

Source:
    Ronneberger 2015, arXiv:1505.04597, section 3 (figure 3).
"""

import csv
import tempfile
from pathlib import Path
from typing import Any

from experiments.pages import publish
from experiments.trials import (
    Figures,
    parse_arguments,
    prepare,
    read_sections,
    run_arms,
)
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset

CHANGES: dict[str, Any] = {
    "split": {"test_fraction": 0.3, "seed": 1},
    "evaluate": {"group_by": ["stain"]},
    "train": {
        "base_channels": 8,
        "epochs": 10,
        "steps_per_epoch": 200,
        "validation_interval": 5,
    },
}
ARMS = {
    "border weights": {"train": {"border_weights": True}},
    "no border weights": {"train": {"border_weights": False}},
}


def main() -> None:
    """Run the trials; write docs/experiments/border-weights.md."""
    given = parse_arguments("border_weights", __doc__ or "", "~/sets/2d_dsb2018")
    base = read_sections("border-weights", "unet2d-border", CHANGES)
    bring_in(given.data, given.paths.data)
    prepare(given.paths, base)
    found = run_arms(base, ARMS, figures, paths=given.paths, seeds=given.seeds)
    publish(
        "border-weights", found, ("merges", "splits", "instance F1", "F1, fluorescence")
    )


def bring_in(source: Path, data: Path) -> None:
    """Import the data set with the stain of each image, unless it is there."""
    if data.is_dir():
        return
    with (source / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            f"{row['id']},{row['id']},{row['stain'].split('/')[0]}\n"
            for row in csv.DictReader(file)
        ]
    with tempfile.TemporaryDirectory() as name:
        patients = Path(name) / "patients.csv"
        patients.write_text("case,patient,stain\n" + "".join(rows), encoding="utf-8")
        options = ImportOptions(
            images="images",
            labels="labels",
            instances=True,
            structures={"nucleus": 1},
            patients=patients,
        )
        import_dataset(source, data, options)


def figures(document: dict[str, Any]) -> Figures:
    """Figures of the comparison: they measure separation, and overlap only by Dice."""
    whole = document["instances"]
    stained = document["groups"]["stain"]["fluorescence"]["instances"]
    return {
        "merges": whole["merges"],
        "splits": whole["splits"],
        "found": whole["n_predicted"],
        "instance F1": whole["f1"],
        "F1, mean of images": whole["f1_mean"],
        "merges, fluorescence": stained["merges"],
        "F1, fluorescence": stained["f1"],
        "Dice": document["test"]["dice_mean"],
    }


if __name__ == "__main__":
    main()
