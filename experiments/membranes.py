"""Membranes of neurites, scored as in the ISBI 2012 challenge.

Source:
    Ronneberger 2015, arXiv:1505.04597, section 4 (EM segmentation challenge).
    Arganda-Carreras 2015, doi:10.3389/fnana.2015.00142 (the scores).
"""

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float32, Integer
from matplotlib.figure import Figure

from experiments.elastic import OPTIONS
from experiments.nuclei_picture import outlined
from experiments.pages import write_page
from experiments.trials import (
    ONE_PROCESS,
    PAIRS,
    Figures,
    Found,
    Trial,
    changed,
    import_some,
    of_one_volume,
    parse_arguments,
    prepare,
    read_sections,
    run_trials,
    train_and_test,
)
from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.evaluation.measures.partitions import score_partition, thin_borders
from segpipe.evaluation.report.plots import STYLE
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
ARM = "the paper's recipe"


def main() -> None:
    """Run the trials; write docs/experiments/membranes.md, and a picture to look at."""
    given = parse_arguments("membranes", __doc__ or "", "~/sets/2d_isbi2012_em")
    base = read_sections("border-weights", "unet2d-plain", CHANGES)
    paths = given.paths
    import_some(given.data, paths.data, OPTIONS, sides(given.data))
    prepare(paths, base)

    trials = [
        Trial(ARM, seed, changed(base, train={"seed": seed})) for seed in given.seeds
    ]
    found: Found = run_trials(trials, partial(score, paths=paths), paths=paths)
    write_page("membranes", found)
    draw(trials[0], found[ARM][0]["threshold"], paths)


def sides(source: Path) -> dict[str, str]:
    """The side of each section: the first ones train, the last ones are tested."""
    names = sorted(file.stem for file in (source / "images").iterdir())
    each = ["1"] * TRAINING + ["0"] * VALIDATION + ["test"] * TEST
    return dict(zip(names, each, strict=True))


def score(trial: Trial, compute: Compute, *, paths: Paths) -> Figures:
    """Train, choose the threshold on the validation sections, score the test ones."""
    document = train_and_test(trial, compute, paths)
    segmenter, cases = load(trial, paths), read_cases(paths.artifacts)
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
    figures = {
        "V_rand": rand,
        "V_info": information,
        "threshold": chosen,
        "Dice membrane": pooled["dice_dataset"]["background"],
        "pixel error": 1 - pooled["pixel_accuracy"],
        PAIRS: document[PAIRS],
    }
    return of_one_volume(figures)


def load(trial: Trial, paths: Paths) -> Segmenter:
    """The segmenter of a trial."""
    return Segmenter.load(paths.artifacts / "train" / trial.name / "0" / "segmenter")


def draw(trial: Trial, threshold: float, paths: Paths) -> None:
    """Write neurites.png into the working folder: the first test section, both ways."""
    cases = read_cases(paths.artifacts)
    case = cases[
        min(name for name, side in read_sides(paths).items() if side == "test")
    ]
    image = read_case(paths.data, cases, case).array[0, ..., 0].T
    colours = np.repeat(image[..., None], 3, axis=2).astype(np.uint8)
    inside = interior(load(trial, paths), paths, cases, case)
    columns = {
        "image": np.zeros(image.shape, np.int32),
        "reference": reference(paths, cases, case).T,
        "predicted, thinned": divide(inside, threshold).T,
    }
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(12, 4.3), layout="constrained")
        for axes, (title, ids) in zip(
            figure.subplots(1, 3), columns.items(), strict=True
        ):
            axes.imshow(outlined(colours, ids))
            axes.set_axis_off()
            axes.set_title(title)
        figure.savefig(paths.root / "neurites.png", dpi=80)


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


def divide(
    inside: Float32[np.ndarray, "row column"], threshold: float
) -> Integer[np.ndarray, "row column"]:
    """Ids of the predicted neurites, whose borders have no width."""
    found = components((inside > threshold)[..., None], connectivity="faces")[..., 0]
    found[np.bincount(found.ravel())[found] < SMALLEST_PX] = 0
    return thin_borders(found, 1 - inside)


def mean_scores(
    sections: list[tuple[np.ndarray, np.ndarray]], threshold: float
) -> tuple[float, float]:
    """Mean V_rand and V_info of sections whose interior is cut at a threshold."""
    scores = [
        score_partition(ids, divide(inside, threshold)) for ids, inside in sections
    ]
    rand = float(np.mean([each.rand for each in scores]))
    return rand, float(np.mean([each.information for each in scores]))


if __name__ == "__main__":
    main()
