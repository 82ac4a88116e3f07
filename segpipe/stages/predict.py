"""predict: sliding-window inference of the test cases, mean over a model's folds."""

import logging
import shutil
from typing import Literal

from tqdm import tqdm

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case
from segpipe.dataset.split import read_split
from segpipe.images.formats.files import write_label
from segpipe.project.documents import write_json
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.segmenter import (
    Inference,
    Segmenter,
    predictions_digest,
    segmenter_digest,
)

log = logging.getLogger(__name__)


class PredictParams(Params):
    """Section predict of params.yaml.

    Attributes:
        overlap_fraction: Share of a tile that its neighbour covers too.
        blending: ``gaussian`` trusts a tile's centre most, ``constant`` all alike.
        memory_gb: Budget of a forward pass, from which the size of tiles follows.
        mirror: Whether the mean is taken over mirrored images as well.
    """

    overlap_fraction: float
    blending: Literal["gaussian", "constant"]
    memory_gb: float
    mirror: bool


def run(
    params: PredictParams,
    *,
    model: str,
    folds: list[int],
    compute: Compute,
    paths: Paths,
) -> None:
    """Write artifacts/predict/MODEL: label maps on the original grids.

    Only the listed folds are read, whatever else lies beside them.
    """
    cases = read_cases(paths.artifacts)
    folders = [
        paths.artifacts / "train" / model / str(fold) / "segmenter" for fold in folds
    ]
    segmenter = Segmenter.ensemble(folders)
    inference = Inference(
        overlap_fraction=params.overlap_fraction,
        blending=params.blending,
        memory_gb=params.memory_gb,
        mirror=params.mirror,
        compute=compute,
    )
    log.info("predict %s, mean of %d folds, on %s", model, len(folds), compute)
    goal = paths.artifacts / "predict" / model
    part = goal.with_name(f".{model}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    names = read_split(paths.artifacts).test
    for name in tqdm(names, desc=f"predict {model}", unit="case", disable=None):
        image = read_case(paths.data, cases, cases[name])
        label = segmenter.segment(image, inference)
        write_label(part / f"{name}{cases.file_ending}", label.array, label.grid)
    write_json(
        part / "predictions.json",
        {
            "format_version": 1,
            "model": model,
            "folds": folds,
            "segmenter": predictions_digest([segmenter_digest(one) for one in folders]),
            "cases": list(names),
        },
    )
    shutil.rmtree(goal, ignore_errors=True)
    part.rename(goal)
    log.info("%d cases written to %s", len(names), goal)
