"""Calibration: one temperature that makes probabilities mean what they say."""

import math

import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

LARGEST = 20.0  # and its inverse: bounds of the temperature


def fit_temperature(
    logits: Float[Tensor, "voxel classes"], reference: Int64[Tensor, " voxel"]
) -> float:
    """The temperature T for which softmax(logits / T) has the lowest cross-entropy.

    Args:
        logits: Of voxels that nothing was learnt from.
        reference: Class indices.

    Returns:
        Above 1 for a network that is too sure of itself.

    Source:
        Guo 2017, arXiv:1706.04599, section 4.2 (temperature scaling).
    """
    exact = logits.double()

    def cost(logarithm: float) -> float:
        return float(F.cross_entropy(exact / math.exp(logarithm), reference))

    bound = math.log(LARGEST)
    with torch.inference_mode():
        found = minimize_scalar(cost, bounds=(-bound, bound), method="bounded")
    return math.exp(found.x)
