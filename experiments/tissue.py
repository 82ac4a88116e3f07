"""Cells that touch in 3-D, by the paper's target and by contact as a class of its own.

Source:
    Wolny 2020, doi:10.7554/eLife.57613 (the volumes). Ronneberger 2015,
    arXiv:1505.04597, section 3 (border weights). Caicedo 2019,
    doi:10.1038/s41592-019-0612-7 (contact as a class).
"""

import tempfile
from pathlib import Path
from typing import Any

import h5py

from experiments.pages import write_pages
from experiments.trials import (
    ONE_PROCESS,
    Figures,
    Found,
    import_whole,
    of_one_volume,
    parse_arguments,
    prepare,
    read_sections,
    run_arms,
)
from segpipe.project.documents import write_text
from segpipe.project.paths import Paths
from segpipe.tools.importing.conversion import ImportOptions

SETS = {
    "nuclei": "3d_plantseg_nuclei/images/1135_mini.h5",
    "ovule": "3d_plantseg_ovule/images/sample_ovule.h5",
}
OPTIONS = ImportOptions(images="images", instances=True, structures={"cell": 1})
BLOCKS = {"1": (0.0, 0.5), "0": (0.5, 0.7), "test": (0.7, 1.0)}  # along the last axis
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "split": {"n_folds": 2},
    "weigh": {
        "workers": 1,
        "separate_touching": True,
        "levels": True,
        "w0": 2,
        "sigma": 2,
    },
    "train": {
        "base_channels": 8,
        "patch_size": [48, 48, 32],
        "border_weights": True,
        "augmentation": {"flip": True, "gamma_fraction": 0.3},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 1e-4,
            "clip_norm": 5,
        },
        "epochs": 6,
        "steps_per_epoch": 50,
        "validation_interval": 2,
    },
}
INSTANCES = {"judged_by": "instances"}
ARMS: dict[str, dict[str, Any]] = {
    "labels, judged by Dice": {},
    "labels, judged by instances": {"train": INSTANCES},
    "contact, judged by instances": {"train": {**INSTANCES, "target": "contact"}},
    "distance, judged by instances": {"train": {**INSTANCES, "target": "distance"}},
}


def main() -> None:
    """Run the trials; write docs/experiments/tissue.md."""
    given = parse_arguments("tissue", __doc__ or "", "~/sets")
    base = read_sections("hippocampus", "unet3d", CHANGES)
    tables: dict[str, Found] = {}
    for name, file in SETS.items():
        paths = Paths(given.paths.root / name)
        import_blocks(given.data / file, paths.data)
        prepare(paths, base)
        more = run_arms(base, ARMS, figures, paths=paths, seeds=given.seeds)
        tables[name] = {
            arm: [of_one_volume(row) for row in rows] for arm, rows in more.items()
        }
    write_pages("tissue", tables)


def import_blocks(source: Path, data: Path) -> None:
    """Cut a volume into blocks and import them with their sides, unless it is done.

    Args:
        source: HDF5 file with the datasets raw and label.
        data: Folder to write.
    """
    if data.is_dir():
        return
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "images").mkdir()
        for side, (begin, end) in BLOCKS.items():
            _cut(source, Path(name) / "images" / f"block-{side}.h5", begin, end)
        import_whole(Path(name), data, OPTIONS)
    rows = [f"block-{side},{side}\n" for side in BLOCKS]
    write_text(data / "splits.csv", "patient,side\n" + "".join(rows))


def _cut(source: Path, target: Path, begin: float, end: float) -> None:
    with h5py.File(source) as whole, h5py.File(target, "w") as part:
        for name in ("raw", "label"):
            length = whole[name].shape[2]
            cut = whole[name][:, :, round(begin * length) : round(end * length)]
            part[name] = cut
            part[name].attrs.update(whole[name].attrs)


def figures(document: dict[str, Any]) -> Figures:
    """Figures of the instances of the test block."""
    instances = document["instances"]
    return {
        "F1@.5": instances["f1"],
        "AP .5:.95": instances["ap"],
        "merges": instances["merges"],
        "splits": instances["splits"],
        "cells": instances["n_reference"],
        "Dice": document["dataset"]["dice_dataset"]["cell"],
        "minutes": document["minutes"],
    }


if __name__ == "__main__":
    main()
