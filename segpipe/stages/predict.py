"""predict: segment the test cases with the mean over a model's folds."""

import logging
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import (
    PredictionRecord,
    prediction_record_file,
    predictions_folder,
    read_case,
    write_prediction,
)
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import read_split
from segpipe.project.documents import write_folder
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, set_process
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.settings import Blending, LookFirst, SkipEmpty
from segpipe.segmenter.spec import (
    predictions_digest,
    read_combined_spec,
    segmenter_digest,
)
from segpipe.training.record import segmenter_folder, training_folder

log = logging.getLogger(__name__)


class PredictParams(Params):
    """Section predict of params.yaml.

    Attributes:
        overlap_fraction: Share of a tile that overlaps with its neighbour.
        blending: Weight of tiles: ``gaussian``, highest at the centre, or ``constant``.
        memory_gb: Memory budget of a forward pass, which decides the size of tiles.
        mirror: Whether to average over mirrored images as well.
        skip_empty: ``auto`` leaves out what the plan knows to hold no structure.
        coarse: ``auto`` looks only where coarse networks, if there are any, found
            structures; ``never`` looks everywhere.
    """

    overlap_fraction: float
    blending: Blending
    memory_gb: float
    mirror: bool
    # Never in the params of projects that were written before it.
    skip_empty: SkipEmpty = "never"
    coarse: LookFirst = "auto"

    def inference(self, compute: Compute) -> Inference:
        """How a segmenter runs by these parameters."""
        return Inference(**self.model_dump(), compute=compute)


def run(
    params: PredictParams,
    *,
    model: str,
    folds: list[int],
    compute: Compute,
    paths: Paths,
) -> None:
    """Write artifacts/predict/MODEL: label maps on the original grids.

    Only the listed folds are used; folders of other folds are ignored.
    """
    cases = read_cases(paths.artifacts)
    folders = tuple(
        segmenter_folder(training_folder(paths.artifacts, model, fold))
        for fold in folds
    )
    read_combined_spec(folders)  # refuses folds that are missing, or of other plans
    digest = predictions_digest([segmenter_digest(folder) for folder in folders])
    inference = params.inference(compute)
    log.info("predict %s, mean of %d folds, on %s", model, len(folds), compute)
    names = read_split(paths.artifacts).test
    record = PredictionRecord(
        format_version=1,
        model=model,
        folds=tuple(folds),
        segmenter=digest,
        cases=names,
    )
    goal = predictions_folder(paths.artifacts, model)
    with write_folder(goal) as part:
        slim = cases.model_copy(update={"cases": ()})
        map_cases(
            partial(_predict, _Work(folders, digest, slim, inference, paths, part)),
            [cases[name] for name in names],
            workers=1,
            name=lambda case: case.name,
            describe=f"predict {model}",
        )
        record.write(prediction_record_file(part))
    log.info("predict: %d cases in %s", len(names), goal)


@dataclass(frozen=True)
class _Work:
    """What the prediction of all cases shares: folders, and not the networks."""

    folders: tuple[Path, ...]
    digest: str
    cases: CaseList  # without the cases themselves
    inference: Inference
    paths: Paths
    part: Path


@lru_cache(maxsize=1)
def _segmenter(folders: tuple[Path, ...], digest: str) -> Segmenter:
    """The segmenters of several folders as one, read once by each process."""
    assert digest, "another digest, another segmenter"
    return Segmenter.ensemble([*folders])


def _predict(work: _Work, case: Case) -> bool:
    """Predict a case, here or on a cluster's worker."""
    set_process(work.inference.compute)
    segmenter = _segmenter(work.folders, work.digest)
    predict_case(work.part, segmenter, work.cases, case, work.inference, work.paths)
    return True


def predict_case(
    folder: Path,
    segmenter: Segmenter,
    cases: CaseList,
    case: Case,
    inference: Inference,
    paths: Paths,
) -> None:
    """Write what a segmenter predicts for a case into a folder of predictions.

    If the case's reference has instance ids, the predicted ones are written, too.

    Args:
        folder: The folder of the predictions.
        segmenter: The segmenter.
        cases: The data set.
        case: The case.
        inference: How the networks run.
        paths: The project's folders.
    """
    image = read_case(paths.data, cases, case)
    if case.instances is None:
        found = segmenter.segment(image, inference)
        write_prediction(folder, cases, case.name, found)
    else:
        both = segmenter.segment_instances(image, inference)
        write_prediction(folder, cases, case.name, *both)
