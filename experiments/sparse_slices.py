"""A 3-D U-Net learns from few annotated slices, and more than a 2-D one does.

Both set-ups of the paper: *semi-automated*, where slices of a volume are annotated and
the rest of it is segmented (`segpipe densify`), and *fully automated*, where another
volume is segmented.

Source:
    Çiçek 2016, arXiv:1606.06650, sections 3 and 4 (tables 2 and 3).
"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.hiding import NOT_ANNOTATED, densify_trial, run_sparse
from experiments.pages import lines, save_plot, write_page
from experiments.trials import (
    HIPPOCAMPUS,
    ONE_PROCESS,
    PAIRS,
    Arguments,
    Figures,
    Found,
    Trial,
    changed,
    import_some,
    parse_arguments,
    prepare,
    read_sections,
    run_trials,
    train_and_test,
)
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case_label
from segpipe.dataset.prepared import read_shares
from segpipe.evaluation.measures.metrics import (
    confusion_matrix,
    dice_of,
    iou_of,
    mean_of,
)
from segpipe.images.formats.files import read_label
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.stages import verify

TRAINING, VALIDATION, TEST = 6, 4, 20
SLICES = (1, 2, 4)  # in each of the three directions
ALL = 0
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "split": {"n_folds": 2},
    "train": {
        "base_channels": 8,
        "loss": {"name": "cross_entropy"},
        "class_weights": "balanced",
        "sparse_annotation": True,
        "epochs": 6,
        "steps_per_epoch": 50,
        "validation_interval": 2,
    },
}
NETWORKS: dict[str, dict[str, Any]] = {
    "3D U-Net": {"network": "unet3d"},
    "2D U-Net": {"network": "unet2d", "base_channels": 16, "batch_size": "auto"},
}


def main() -> None:
    """Run the trials of both set-ups; write docs/experiments/sparse-slices.md."""
    given = parse_arguments("sparse_slices", __doc__ or "", "~/sets/3d_msd_hippocampus")
    found = {**run_automated(given), **run_semi_automated(given)}
    write_page("sparse-slices", found)
    panels = [
        lines(title, _series(found, title), across="slices a direction", up="IoU")
        for title in ("fully automated", "semi-automated")
    ]
    save_plot("sparse-slices", panels)


def run_automated(given: Arguments) -> Found:
    """Train on slices of some volumes, test on other volumes."""
    paths = Paths(given.paths.root / "automated")
    base = read_sections("hippocampus", "unet3d", CHANGES)
    names = _names(given.data)
    test, rest = names[:TEST], names[TEST : TEST + TRAINING + VALIDATION]
    sides = dict.fromkeys(test, "test") | dict.fromkeys(rest[:TRAINING], "1")
    sides |= dict.fromkeys(rest[TRAINING:], "0")
    import_some(given.data, paths.data, HIPPOCAMPUS, sides)
    prepare(paths, base)
    trials = [
        Trial(
            f"{network}, fully automated, {slices or 'all'} slices",
            seed,
            changed(base, train={**changes, "seed": seed}, annotate=_annotate(slices)),
        )
        for network, changes in NETWORKS.items()
        for slices in (*SLICES, ALL)
        for seed in given.seeds
    ]

    def work(trial: Trial, compute: Compute) -> Figures:
        document = train_and_test(trial, compute, paths)
        test = document["test"]
        shares = read_shares(paths.artifacts)
        return {
            "annotated %": 100 * float(np.mean(list(shares.values()))),
            "IoU": test["iou_mean"],
            "Dice": test["dice_mean"],
            PAIRS: document[PAIRS],
        }

    return run_trials(trials, work, paths=paths)


def run_semi_automated(given: Arguments) -> Found:
    """Train on slices of volumes, test on the rest of the same volumes."""
    base = read_sections("hippocampus", "unet3d", CHANGES)
    names = _names(given.data)[TEST : TEST + TRAINING]
    whole = Paths(given.paths.root / "semi-automated")
    import_some(given.data, whole.data, HIPPOCAMPUS, dict.fromkeys(names, "0"))
    verify.run(base.verify, networks={"trial": 3}, paths=whole)
    found: Found = {}
    for slices in SLICES:
        trials = [
            Trial(
                f"{network}, semi-automated, {slices} slices",
                seed,
                changed(base, train={**changes, "seed": seed}),
            )
            for network, changes in NETWORKS.items()
            for seed in given.seeds
        ]
        found |= run_sparse(trials, _densify_and_compare, whole=whole, slices=slices)
    return found


def _names(source: Path) -> list[str]:
    return sorted(file.name.split(".")[0] for file in (source / "labels").iterdir())


def _annotate(slices: int) -> dict[str, Any]:
    if slices == ALL:
        return {"rule": "all"}
    return {"rule": "evenly", "slices": [slices] * 3}


def _densify_and_compare(
    trial: Trial, compute: Compute, paths: Paths, whole: Paths
) -> Figures:
    """Densify; compute IoU and Dice where nobody annotated."""
    output = densify_trial(trial, compute, paths)
    cases = read_cases(whole.artifacts)
    scores = []
    for case in cases.cases:
        truth = read_case_label(whole.data, cases, case).array
        drawn = read_label(paths.data / case.label).array
        dense = read_label(output / f"{case.name}{cases.file_ending}").array
        confusion = confusion_matrix(
            np.where(drawn == NOT_ANNOTATED, truth, -1),
            dense,
            n_classes=len(cases.values),
            ignore=-1,
        )
        scores.append([mean_of(iou_of(confusion)[1:]), mean_of(dice_of(confusion)[1:])])
    iou, dice = np.mean(scores, axis=0).tolist()
    patients = [case.patient for case in cases.cases]
    pairs = [(patient, of) for patient, (_, of) in zip(patients, scores, strict=True)]
    return {"IoU": iou, "Dice": dice, PAIRS: pairs}


def _series(found: Found, title: str) -> dict[str, dict[float, list[float]]]:
    """For each network, the number of slices to the IoU of each seed."""
    series: dict[str, dict[float, list[float]]] = {}
    for arm, rows in found.items():
        network, set_up, slices = arm.split(", ")
        count = slices.split()[0]
        if set_up == title and count != "all":
            at = series.setdefault(network, {})
            at[float(count)] = [row["IoU"] for row in rows]
    return series


if __name__ == "__main__":
    main()
