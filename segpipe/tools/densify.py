"""densify: label all voxels of volumes of which a few slices are annotated."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.split import Fold, Split, split_file
from segpipe.images.formats.files import write_label
from segpipe.planning.params import PlanParams
from segpipe.project.documents import sole_writer
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.project.progress import track
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.stages import annotate, plan, preprocess, train, verify, weigh
from segpipe.stages.predict import PredictParams
from segpipe.training.record import segmenter_folder, training_folder
from segpipe.training.task.section import NONE, TrainParams

log = logging.getLogger(__name__)
EVERYTHING = annotate.AnnotateParams(rule="all", slices=(0, 0, 0), seed=0)


@dataclass(frozen=True)
class DensifyParams:
    """The sections of params.yaml that densify uses."""

    verify: verify.VerifyParams
    plan: PlanParams
    preprocess: preprocess.PreprocessParams
    weigh: weigh.WeighParams
    train: TrainParams
    predict: PredictParams


def densify(
    params: DensifyParams, output: Path, *, model: str, compute: Compute, paths: Paths
) -> str:
    """Train on the annotated voxels of all cases in data/, then label all their voxels.

    One network trains on all cases, and none is held out: the epoch is chosen
    on the voxels of the training. Annotated voxels keep their labels. An interrupted
    training continues where it was.

    Args:
        params: Sections of params.yaml.
        output: A new folder for the label maps.
        model: Name of the training.
        compute: Device, precision and threads.
        paths: Folders of the project whose data/ is densified.

    Returns:
        One sentence about what was written.

    Raises:
        DataError: If the output exists already, or the data set declares no ignore
            value, so that all voxels are annotated.

    Source:
        Çiçek 2016, arXiv:1606.06650, section 1: the semi-automated set-up.
    """
    if output.exists():
        raise DataError(
            f"{output}: expected a new folder, found an existing one; name another"
        )
    work = Paths(paths.cache / "densify" / model)
    with sole_writer(work.root), sole_writer(output):
        return _densify(params, output, model, compute, paths, work)


def _densify(
    params: DensifyParams,
    output: Path,
    model: str,
    compute: Compute,
    paths: Paths,
    work: Paths,
) -> str:
    _link_data(paths, work)
    cases = _prepare(params, model, work)
    section = params.train
    if section.start_from != NONE:  # relative to the user's project, not to ours
        place = str(paths.root.resolve() / section.start_from)
        section = section.model_copy(update={"start_from": place})
    if section.coarse:
        log.info("densify: %s looks everywhere, as nothing is held out", model)
    section = section.model_copy(update={"coarse": False})
    train.run(section, model=model, fold=0, compute=compute, paths=work)
    training = training_folder(work.artifacts, model, 0)
    segmenter = Segmenter.load(segmenter_folder(training))
    inference = params.predict.inference(compute)
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    shares = [
        _label(segmenter, inference, work, cases, case, part)
        for case in track(cases.cases, "densify", total=len(cases.cases), unit="case")
    ]
    part.rename(output)
    return (
        f"wrote {len(shares)} dense label maps to {output}: "
        f"{100 * np.mean(shares):.1f} % of the voxels were drawn, {model} labelled the "
        "others"
    )


def _link_data(paths: Paths, work: Paths) -> None:
    """Give the scratch project the same data."""
    work.root.mkdir(parents=True, exist_ok=True)
    work.data.unlink(missing_ok=True)
    work.data.symlink_to(paths.data.resolve(), target_is_directory=True)


def _prepare(params: DensifyParams, model: str, work: Paths) -> CaseList:
    """Run all stages before train, with every case for training."""
    verify.run(params.verify, networks={model: params.train.dimensions}, paths=work)
    cases = read_cases(work.artifacts)
    if cases.ignore is None:
        raise DataError(
            f"{work.data / 'dataset.json'}, labels: expected ignore, the value of "
            "voxels without annotation, found none, so that every voxel counts as "
            "annotated; import the data with `segpipe import ... --ignore VALUE`"
        )
    names = tuple(case.name for case in cases.cases)
    everything = Fold(training=names, validation=names)
    split = Split(format_version=1, test=(), folds=(everything,))
    split.write(split_file(work.artifacts))
    shape = params.train.model_copy(update={"coarse": False})
    plan.run(params.plan, models={model: shape}, paths=work)
    preprocess.run(params.preprocess, paths=work)
    annotate.run(EVERYTHING, paths=work)
    weigh.run(params.weigh, paths=work)
    return cases


def _label(
    segmenter: Segmenter,
    inference: Inference,
    work: Paths,
    cases: CaseList,
    case: Case,
    folder: Path,
) -> float:
    """Write the dense label map of a case; returns the share of drawn voxels."""
    drawn = read_case_label(work.data, cases, case)
    dense = segmenter.segment(read_case(work.data, cases, case), inference)
    known = drawn.array != cases.ignore
    array = np.where(known, drawn.array, dense.array)
    write_label(folder / f"{case.name}{cases.file_ending}", array, drawn.grid)
    return float(known.mean())
