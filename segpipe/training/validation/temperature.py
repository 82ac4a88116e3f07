"""Temperature: calibrate a network on patches of held-out cases."""

import logging
import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from segpipe.networks.build import apply_network, margin_of
from segpipe.networks.catalogue import Network
from segpipe.training.patches.sampling import draw_batch
from segpipe.training.task.build import Task, truth_of

log = logging.getLogger(__name__)
LARGEST = 20.0  # upper bound of the temperature; its inverse is the lower bound
CALIBRATION_PATCHES = 64
CALIBRATION_VOXELS = 4000  # of each patch


def fit_temperature(
    logits: Float[Tensor, "voxel channels"],
    reference: Int64[Tensor, " voxel"],
    truth: Bool[Tensor, "channels classes"] | None = None,
) -> float:
    """Find the temperature T for which logits / T have minimal cross-entropy.

    Args:
        logits: Logits of voxels that were not trained on.
        reference: Class indices of the voxels.
        truth: Whether a structure (row) holds a class (column), if structures may
            overlap.

    Returns:
        The temperature; above 1 for an overconfident network.

    Source:
        Guo 2017, arXiv:1706.04599, section 4.2 (temperature scaling).
    """
    from scipy.optimize import minimize_scalar  # slow, and few models are calibrated

    exact = logits.double()

    def cost(logarithm: float) -> float:
        scaled = exact / math.exp(logarithm)
        if truth is None:
            return float(F.cross_entropy(scaled, reference))
        target = truth.T[reference].double()
        return float(F.binary_cross_entropy_with_logits(scaled, target))

    bound = math.log(LARGEST)
    with torch.inference_mode():
        found = minimize_scalar(cost, bounds=(-bound, bound), method="bounded")
    return math.exp(found.x)


def calibrate(network: Network, task: Task) -> float:
    """Fit the temperature of a network on patches drawn from the validation cases.

    Up to CALIBRATION_VOXELS annotated voxels of each patch are drawn without
    replacement. If the patches show none, the temperature is 1.
    """
    rng = np.random.default_rng([task.seed, task.params.epochs])
    margin = margin_of(network, task.patch.slice_axis)
    network.to(task.compute.device).eval()
    logits, references = [], []
    for _ in range(CALIBRATION_PATCHES if task.validation else 0):
        batch = draw_batch(
            task.validation,
            patch_size=task.patch.patch_size,
            margin=margin,
            class_weights=np.ones_like(task.class_weights),
            foreground_fraction=0.0,
            rngs=[rng],
        )
        known = np.flatnonzero(batch.reference >= 0)
        count = min(CALIBRATION_VOXELS, len(known))
        if not count:
            continue
        chosen = rng.choice(known, count, replace=False)
        image = torch.from_numpy(batch.image).to(task.compute.device)
        with torch.inference_mode(), task.compute.autocast():
            found = apply_network(network, image, task.patch.slice_axis)
        logits.append(found[0].float().cpu().flatten(1).T[chosen])
        references.append(torch.from_numpy(batch.reference).flatten()[chosen])
    if not logits:
        log.warning("calibration: none, as the patches show no annotated voxel")
        return 1.0
    truth = truth_of(task.spec.outputs)
    temperature = fit_temperature(torch.cat(logits), torch.cat(references), truth)
    log.info("calibration: temperature %.3f", temperature)
    return temperature
