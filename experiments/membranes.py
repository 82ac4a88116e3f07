"""Membranes of neurites, scored as in the ISBI 2012 challenge.

Source:
    Ronneberger 2015, arXiv:1505.04597, section 4 (EM segmentation challenge).
    Arganda-Carreras 2015, doi:10.3389/fnana.2015.00142 (the scores).
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer

from experiments.elastic import OPTIONS
from experiments.pages import publish
from experiments.trials import (
    ONE_PROCESS,
    PAIRS,
    Figures,
    Found,
    Trial,
    changed,
    import_some,
    merged,
    parse_arguments,
    prepare,
    read_sections,
    run_trials,
    train_and_test,
)
from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.evaluation.measures.partitions import score_partition, thin_borders
from segpipe.images.instances import components
from segpipe.images.volume import ImageStream
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import Segmenter, build_inference
from segpipe.segmenter.settings import SegmentSettings

TRAINING, VALIDATION, TEST = 12, 3, 5  # consecutive sections
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
SMALLEST_PX = 20  # a smaller piece of interior is no neurite
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "split": {"n_folds": 2},
    "weigh": {"workers": 1, "separate_touching": False},
    "train": {
        "border_weights": False,
        "patch_size": [256, 256, 1],
        "batch_size": 2,
        "epochs": 12,
        "steps_per_epoch": 100,
        "validation_interval": 3,
    },
}
TODAY: dict[str, Any] = {
    "loss": {"name": "dice_cross_entropy"},
    "class_weights": "none",
    "optimizer": {
        "name": "adamw",
        "learning_rate": 1e-3,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "schedule": "poly",
        "clip_norm": 5,
        "ema": 0.98,
    },
}
ARMS: dict[str, dict[str, Any]] = {
    "the paper's recipe": {},
    "today's recipe": {"train": TODAY},
}


def main() -> None:
    """Run the trials; write docs/experiments/membranes.md."""
    given = parse_arguments("membranes", __doc__ or "", "~/sets/2d_isbi2012_em")
    base = read_sections("border-weights", "unet2d-plain", CHANGES)
    paths = given.paths
    import_some(given.data, paths.data, OPTIONS, sides(given.data))
    prepare(paths, base)

    def work(trial: Trial, compute: Compute) -> Figures:
        return score(trial, compute, paths)

    trials = [
        Trial(arm, seed, changed(base, **merged(changes, {"train": {"seed": seed}})))
        for seed in given.seeds
        for arm, changes in ARMS.items()
    ]
    found: Found = run_trials(trials, work, paths=paths)
    publish("membranes", found, ("V_rand", "V_info", "Dice membrane"))


def sides(source: Path) -> dict[str, str]:
    """The side of each section: the first ones train, the last ones are tested."""
    names = sorted(file.stem for file in (source / "images").iterdir())
    each = ["1"] * TRAINING + ["0"] * VALIDATION + ["test"] * TEST
    return dict(zip(names, each, strict=True))


def score(trial: Trial, compute: Compute, paths: Paths) -> Figures:
    """Train, choose the threshold on the validation sections, score the test ones."""
    document = train_and_test(trial, compute, paths)
    folder = paths.artifacts / "train" / trial.name / "0" / "segmenter"
    segmenter, cases = Segmenter.load(folder), read_cases(paths.artifacts)
    drawn = read_sides(paths)
    found = {
        side: [
            (
                reference(paths, cases, cases[name]),
                interior(segmenter, paths, cases, cases[name]),
            )
            for name, own in drawn.items()
            if own == side
        ]
        for side in ("0", "test")
    }
    chosen = max(THRESHOLDS, key=lambda each: mean_scores(found["0"], each)[0])
    rand, information = mean_scores(found["test"], chosen)
    pooled = document["dataset"]
    return {
        "V_rand": rand,
        "V_info": information,
        "threshold": chosen,
        "Dice membrane": pooled["dice_dataset"]["background"],
        "pixel error": 1 - pooled["pixel_accuracy"],
        PAIRS: [("volume", dice) for _, dice in document[PAIRS]],
    }


def read_sides(paths: Paths) -> dict[str, str]:
    """The side of each imported section."""
    lines = (paths.data / "splits.csv").read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split(",") for line in lines)


def reference(
    paths: Paths, cases: CaseList, case: Case
) -> Integer[np.ndarray, "row column"]:
    """Ids of the neurites: the components of the interior in the reference."""
    drawn = read_case_label(paths.data, cases, case).array
    inside = np.isin(drawn, cases.labels["interior"])
    return components(inside, connectivity="faces")[..., 0]


def interior(
    segmenter: Segmenter, paths: Paths, cases: CaseList, case: Case
) -> Float32[np.ndarray, "row column"]:
    """Predicted probability of the interior."""
    inference = build_inference(SegmentSettings(device="cpu"))
    stream = ImageStream.of(read_case(paths.data, cases, case))
    slabs = segmenter.slabs(stream, inference, probabilities=True)
    whole = np.concatenate([slab.probabilities for slab in slabs], axis=3)
    return whole[1, ..., 0].astype(np.float32)


def mean_scores(
    sections: list[tuple[np.ndarray, np.ndarray]], threshold: float
) -> tuple[float, float]:
    """Mean V_rand and V_info of sections whose interior is cut at a threshold."""
    scores = []
    for ids, inside in sections:
        found = components((inside > threshold)[..., None], connectivity="faces")
        found = found[..., 0]
        found[np.bincount(found.ravel())[found] < SMALLEST_PX] = 0
        scores.append(score_partition(ids, thin_borders(found, 1 - inside)))
    rand = float(np.mean([each.rand for each in scores]))
    return rand, float(np.mean([each.information for each in scores]))


if __name__ == "__main__":
    main()
