"""ceiling: the best figures that any network could reach, and what takes the rest."""

import math
from dataclasses import dataclass

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case_instances, read_case_label
from segpipe.dataset.split import read_split
from segpipe.evaluation.metrics import dice
from segpipe.evaluation.scores import mean_known, sum_instances
from segpipe.images.borders import Separation
from segpipe.images.instances import InstanceMatch
from segpipe.images.volume import LabelMap
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, read_patch_plan, read_plan
from segpipe.segmenter.postprocessing import combine_rules
from segpipe.segmenter.preprocessing import (
    classes_of,
    resample_classes,
    resample_instances,
)
from segpipe.segmenter.segmenter import Inference, Segmenter
from segpipe.segmenter.spec import SegmenterSpec, spec_file
from segpipe.stages.evaluate import EvaluateParams, match_structures
from segpipe.stages.weigh import (
    WeighParams,
    build_separation,
    find_targets,
    lines_between,
)
from segpipe.training.record import segmenter_folder, training_folder
from segpipe.training.task import TrainParams

LOW = 0.95  # a lower ceiling is worth a warning
STEPS = ("resampling", "separating lines", "post-processing")
MENDS = {
    "resampling": "set plan.spacing finer",
    "separating lines": "set plan.spacing finer, so that lines are thinner",
    "post-processing": "set postprocessing: none in the section of the model",
}


@dataclass(frozen=True)
class Sections:
    """The sections of params.yaml that decide on a ceiling.

    Attributes:
        weigh: The section weigh.
        evaluate: The section evaluate.
        models: The section of each listed model.
        folds: The listed folds.
    """

    weigh: WeighParams
    evaluate: EvaluateParams
    models: dict[str, TrainParams]
    folds: list[int]


@dataclass(frozen=True)
class Ceiling:
    """The best figures of a model on the test cases.

    Attributes:
        model: Name of the model.
        dice: Mean Dice over cases and structures, after each of STEPS.
        structures: Mean Dice of each structure after all steps.
        instance_f1: F1 of instances after all steps; NaN without instance ids.
        merges: Number of predictions that hold several instances, after all steps.
    """

    model: str
    dice: tuple[float, ...]
    structures: dict[str, float]
    instance_f1: float
    merges: int

    def lines(self) -> list[str]:
        """The ceiling in words; each low figure with its cause and the mend."""
        losses = np.diff([1.0, *self.dice])
        parts = ", ".join(
            f"{step} {loss:+.3f}" for step, loss in zip(STEPS, losses, strict=True)
        )
        rows = [f"{self.model}: Dice at most {self.dice[-1]:.3f} ({parts})"]
        rows += [f"  {name}: {value:.3f}" for name, value in self.structures.items()]
        if not math.isnan(self.instance_f1):
            rows.append(f"  instance F1 at most {self.instance_f1:.3f}")
        if self.dice[-1] < LOW:
            cause = STEPS[int(losses.argmin())]
            rows.append(f"  Dice is limited by {cause}: {MENDS[cause]}")
        if self.instance_f1 < LOW:
            rows.append(f"  instances are limited by {self._cause}")
        return rows

    @property
    def _cause(self) -> str:
        """What limits the instances."""
        if self.merges:
            return (
                f"{self.merges} merges of touching ones: set weigh.separate_touching: "
                "true, and weigh.dimensions: 3 for volumes"
            )
        return (
            "their size: a line of one voxel from each leaves too little of the small "
            "ones, and what it takes grows back in part"
        )


@dataclass(frozen=True, eq=False)
class _Case:
    """Figures of one case: Dice by step and structure, and matched instances."""

    dice: list[list[float]]
    matches: dict[str, InstanceMatch]


def find_ceilings(
    sections: Sections, inference: Inference, *, paths: Paths
) -> list[Ceiling]:
    """Send the references of the test cases through all that a prediction meets.

    They are resampled to the grid of the network, separated by lines, cut into tiles,
    blended, resampled back, post-processed by the rules of the model if it is trained,
    and compared with themselves. No network runs, so a ceiling is known before any
    training.

    Raises:
        DataError: If the stages up to plan have not run.
    """
    cases, plan = read_cases(paths.artifacts), read_plan(paths.artifacts)
    names = read_split(paths.artifacts).test
    return [
        _summed(
            model,
            [
                _compare(cases[name], cases, spec, sections, inference, paths)
                for name in names
            ],
            cases,
        )
        for model, spec in (
            (model, _spec(model, params, plan, sections.folds, paths))
            for model, params in sections.models.items()
        )
    ]


def _spec(
    model: str, params: TrainParams, plan: Plan, folds: list[int], paths: Paths
) -> SegmenterSpec:
    """The spec of a model; with the rules of its folds, if all of them are trained."""
    patch = read_patch_plan(paths.artifacts, model)
    files = [
        spec_file(segmenter_folder(training_folder(paths.artifacts, model, fold)))
        for fold in folds
    ]
    rules = [
        SegmenterSpec.read(file).postprocessing for file in files if file.is_file()
    ]
    return SegmenterSpec(
        format_version=1,
        model=model,
        network=params.network_spec(plan),
        plan=plan,
        patch_size=patch.patch_size,
        slice_axis=patch.slice_axis,
        temperatures=(1.0,),
        postprocessing=combine_rules(rules) if len(rules) == len(folds) else (),
    )


def _compare(
    case: Case,
    cases: CaseList,
    spec: SegmenterSpec,
    sections: Sections,
    inference: Inference,
    paths: Paths,
) -> _Case:
    """Compare the reference of a case with itself after each of STEPS."""
    label = read_case_label(paths.data, cases, case)
    drawn = read_case_instances(paths.data, cases, case)
    separation = build_separation(sections.weigh, spec.plan)
    target, lined = _targets(label, drawn, spec.plan, separation)
    plain = spec.model_copy(update={"postprocessing": ()})
    made: list[np.ndarray] = []
    for used, classes in ((plain, target), (plain, lined), (spec, lined)):
        perfect = Segmenter(used, ())
        made.append(perfect.label_by_target(classes, label.grid, inference).array)
    known = np.ones(label.array.shape, dtype=bool)
    if cases.ignore is not None:
        known = label.array != cases.ignore
    return _Case(
        [
            [
                dice((label.array == value) & known, (array == value) & known)
                for value in cases.values[1:]
            ]
            for array in made
        ],
        match_structures(
            cases,
            label,
            drawn,
            made[-1],
            separation=separation,
            iou_threshold=sections.evaluate.instance_iou,
        ),
    )


def _targets(
    label: LabelMap, drawn: LabelMap | None, plan: Plan, separation: Separation | None
) -> tuple[np.ndarray, np.ndarray]:
    """The reference on the prepared grid, without lines and with them."""
    turn = label.grid.to_canonical
    shape = label.grid.reoriented(turn).shape_at(plan.spacing)
    classes = turn.apply(classes_of(label.array, plan))
    target = resample_classes(classes, shape)
    if separation is None:
        return target, target
    ids = None
    if drawn is not None:
        ids = turn.apply(drawn.array).astype(np.int32)
        ids = resample_instances(ids, classes, target)
    lines = lines_between(find_targets(target, ids), separation)
    return target, np.where(lines & (target >= 0), 0, target)


def _summed(model: str, found: list[_Case], cases: CaseList) -> Ceiling:
    """The means over the test cases."""
    scores = np.array([case.dice for case in found])  # case, step, structure
    instances = sum_instances([case.matches for case in found])
    return Ceiling(
        model=model,
        dice=tuple(mean_known(step.ravel().tolist()) for step in scores.swapaxes(0, 1)),
        structures={
            name: mean_known(scores[:, -1, n].tolist())
            for n, name in enumerate(cases.structures[1:])
        },
        instance_f1=math.nan if instances is None else instances["f1"],
        merges=0 if instances is None else instances["merges"],
    )
