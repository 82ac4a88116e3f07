"""Finishing: the segmenter of a training that is over, with its rules."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from segpipe.networks.build import build_network
from segpipe.networks.catalogue import Network
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.training.checkpoints import Progress
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.record import History
from segpipe.training.task.build import Task
from segpipe.training.task.coarse import build_coarse_spec
from segpipe.training.validation.choosing import (
    choose_instances,
    choose_postprocessing,
    without_debris,
)
from segpipe.training.validation.looking import choose_threshold
from segpipe.training.validation.temperature import calibrate
from segpipe.training.validation.validate import usual_inference


@dataclass(frozen=True, eq=False)
class Coarse:
    """What is left of the training of a coarse network, when it is over.

    Attributes:
        spec: Its networks as a segmenter of their own.
        weights: The weights of the kept epoch.
        history: One row for each epoch.
        validation: The validation cases, shrunk.
    """

    spec: SegmenterSpec
    weights: dict[str, Tensor]
    history: History
    validation: list[TrainingCase]


def finish(
    task: Task, progress: Progress, first: Coarse | None
) -> tuple[Segmenter, tuple[str, ...]]:
    """Build the segmenter of the kept epoch, calibrated and with its rules.

    Args:
        task: The training.
        progress: Its state at the end.
        first: The training of the coarse network, if there is one.

    Returns:
        The segmenter, and sentences about what people must know of it.
    """
    network = _build(task.spec, progress.best_weights)
    made, doubts = Segmenter(task.spec, (network,)), tuple[str, ...]()
    if first is not None:
        made, doubts = _with_coarse(task, made, first)
    if task.params.calibrate:
        chosen = {"temperatures": (calibrate(network, task),)}
        made = replace(made, spec=made.spec.model_copy(update=chosen))
    if task.params.postprocessing == "auto":
        rules = choose_postprocessing(made, task.validation, usual_inference(task))
        spec = made.spec.model_copy(update={"postprocessing": rules})
        made = replace(made, spec=spec)
    if task.params.judged_by == "instances":
        made = _with_instances(task, made)
    return made, doubts


def _build(spec: SegmenterSpec, weights: dict[str, Tensor]) -> Network:
    """The network with its kept weights, on the CPU."""
    network = build_network(spec.network)
    network.load_state_dict(weights)
    return network


def _with_coarse(
    task: Task, made: Segmenter, first: Coarse
) -> tuple[Segmenter, tuple[str, ...]]:
    """The segmenter with its coarse network, and doubts about where it looks."""
    assert task.patch.coarse is not None
    network = _build(first.spec, first.weights)
    how = build_coarse_spec(task, task.patch.coarse)
    spec = made.spec.model_copy(update={"coarse": how})
    made = replace(made, spec=spec, coarse=Segmenter(first.spec, (network,)))
    inference = usual_inference(task)
    finder = made.finder(inference)
    assert finder is not None
    how, doubts = choose_threshold(
        finder, task.validation, first.validation, task.plan, inference
    )
    return replace(made, spec=spec.model_copy(update={"coarse": how})), doubts


def _with_instances(task: Task, made: Segmenter) -> Segmenter:
    """The segmenter with rules of its instances; its label map drops debris, too."""
    chosen = choose_instances(made, task.validation, usual_inference(task))
    changes: dict[str, Any] = {"instances": chosen}
    if task.params.postprocessing == "auto":
        changes["postprocessing"] = without_debris(made.spec.postprocessing, chosen)
    return replace(made, spec=made.spec.model_copy(update=changes))
