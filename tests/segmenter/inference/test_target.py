import numpy as np
import torch

from segpipe.images.grid import Grid
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.target import label_by_target
from tests.support.segmenters import make_plan, make_segmenter


def test_a_target_on_the_grid_of_the_image_comes_back() -> None:
    spec = make_segmenter(make_plan()).spec
    target = np.random.default_rng(0).integers(0, 3, (20, 24, 18)).astype(np.int16)
    grid = Grid.from_spacing((20, 24, 18), (1.0, 1.0, 1.0), "mm")
    compute = Compute(torch.device("cpu"), "fp32", 1)
    how = Inference(0.5, "gaussian", 0.01, False, compute)

    label, inside = label_by_target(spec, target, grid, how)

    np.testing.assert_array_equal(label.array, np.array(spec.plan.values)[target])
    np.testing.assert_allclose(inside, target > 0, atol=1e-5)
