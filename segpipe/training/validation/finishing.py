"""Finishing: the segmenter of a training that is over, with its rules."""

from dataclasses import dataclass, replace
from typing import Any

from segpipe.networks.build import build_network
from segpipe.networks.catalogue import Network
from segpipe.segmenter.segmenter import Segmenter
from segpipe.training.checkpoints import Progress
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
    """The training of a coarse network, when it is over.

    Attributes:
        task: The training.
        progress: Its state, with the weights that are kept.
    """

    task: Task
    progress: Progress


def finish(task: Task, progress: Progress, first: Coarse | None) -> Segmenter:
    """Build the segmenter of the kept epoch, calibrated and with its rules.

    Args:
        task: The training.
        progress: Its state at the end.
        first: The training of the coarse network, if there is one.
    """
    network = _kept_network(task, progress)
    made = Segmenter(task.spec, (network,))
    if first is not None:
        made = _with_coarse(task, made, first)
    if task.params.calibrate:
        chosen = {"temperatures": (calibrate(network, task),)}
        made = replace(made, spec=made.spec.model_copy(update=chosen))
    if task.params.postprocessing == "auto":
        rules = choose_postprocessing(made, task.validation, usual_inference(task))
        spec = made.spec.model_copy(update={"postprocessing": rules})
        made = replace(made, spec=spec)
    if task.params.judged_by == "instances":
        made = _with_instances(task, made)
    return made


def _kept_network(task: Task, progress: Progress) -> Network:
    """The network of the kept epoch, on the CPU."""
    network = build_network(task.spec.network)
    network.load_state_dict(progress.best_weights)
    return network


def _with_coarse(task: Task, made: Segmenter, first: Coarse) -> Segmenter:
    """The segmenter with its coarse network, and how far it looks."""
    assert task.patch.coarse is not None
    network = _kept_network(first.task, first.progress)
    how = build_coarse_spec(task, task.patch.coarse)
    spec = made.spec.model_copy(update={"coarse": how})
    made = replace(made, spec=spec, coarse=Segmenter(first.task.spec, (network,)))
    finder = made.finder(task.compute)
    assert finder is not None
    how = choose_threshold(
        finder,
        task.validation,
        first.task.validation,
        task.plan,
        usual_inference(task),
    )
    return replace(made, spec=spec.model_copy(update={"coarse": how}))


def _with_instances(task: Task, made: Segmenter) -> Segmenter:
    """The segmenter with rules of its instances; its label map drops debris, too."""
    chosen = choose_instances(made, task.validation, usual_inference(task))
    changes: dict[str, Any] = {"instances": chosen}
    if task.params.postprocessing == "auto":
        changes["postprocessing"] = without_debris(made.spec.postprocessing, chosen)
    return replace(made, spec=made.spec.model_copy(update=changes))
