"""ceiling: the figures of a network without any error, before any training."""

from collections.abc import Mapping
from pathlib import Path

from segpipe.evaluation.ceiling import Ceiling, find_ceilings
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, read_patch_plan, read_plan
from segpipe.segmenter.spec import SegmenterSpec, read_combined_spec, spec_file
from segpipe.stages.evaluate import EvaluateParams
from segpipe.stages.weigh import WeighParams, build_separation
from segpipe.training.record import segmenter_folder, training_folder
from segpipe.training.task.section import TrainParams


def ceiling(
    models: Mapping[str, TrainParams],
    *,
    folds: list[int],
    weigh: WeighParams,
    evaluate: EvaluateParams,
    paths: Paths,
) -> list[Ceiling]:
    """Find the ceilings of the listed models.

    A model whose folds are trained has their post-processing; another one has none.

    Args:
        models: The section of each listed model.
        folds: The listed folds.
        weigh: The section weigh.
        evaluate: The section evaluate.
        paths: The project's folders.

    Raises:
        DataError: If the stages up to plan have not run.
    """
    plan = read_plan(paths.artifacts)
    specs = {
        model: _spec(model, params, folds, plan, weigh, paths)
        for model, params in models.items()
    }
    found = find_ceilings(specs, instance_iou=evaluate.instance_iou, paths=paths)
    return list(found.values())


def _spec(
    model: str,
    params: TrainParams,
    folds: list[int],
    plan: Plan,
    weigh: WeighParams,
    paths: Paths,
) -> SegmenterSpec:
    """The spec of a model as it would be trained now."""
    patch = read_patch_plan(paths.artifacts, model)
    separation = build_separation(weigh, plan, params.dimensions)
    planned = params.segmenter_spec(model, plan, patch, separation)
    folders = _trained(model, folds, paths)
    if not folders:
        return planned
    rules = read_combined_spec(folders).postprocessing
    return planned.model_copy(update={"postprocessing": rules})


def _trained(model: str, folds: list[int], paths: Paths) -> list[Path]:
    """The segmenters of all folds; empty if one of them is not trained."""
    folders = [
        segmenter_folder(training_folder(paths.artifacts, model, fold))
        for fold in folds
    ]
    return folders if all(spec_file(folder).is_file() for folder in folders) else []
