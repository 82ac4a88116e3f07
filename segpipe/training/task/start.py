"""Start: the network of a task as it is new, pretrained, or was interrupted."""

from copy import deepcopy

import torch

from segpipe.networks.build import build_network
from segpipe.training.checkpoints import Progress
from segpipe.training.optimization import build_optimizer
from segpipe.training.task.build import Task
from segpipe.training.task.pretrained import learn_only, start_from


def start_or_resume(task: Task) -> Progress:
    """Build a new or pretrained network, or resume an interrupted training."""
    torch.manual_seed(task.seed)
    network = build_network(task.spec.network)
    if task.pretrained is not None:
        start_from(network, task.pretrained, task.params.network)
    learn_only(network, task.params.learned_part)
    network.to(task.compute.device)
    flat = task.patch.slice_axis is not None
    layout = torch.channels_last if flat else torch.channels_last_3d
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(task.params.optimizer, network.parameters())
    progress = Progress(network, optimizer)
    if task.params.optimizer.ema:
        progress.average = deepcopy(network)
    progress.resume(task.checkpoints)
    if task.compute.compile and task.params.loss.name != "own":  # no single graph
        network.compile(dynamic=False)
    return progress
