import pytest
import torch

from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.cutting import columns_of, tiling_of
from segpipe.segmenter.inference.inference import Inference
from tests.support.segmenters import make_plan, make_segmenter

SPEC = make_segmenter(make_plan(), network="unet3d", patch_size=(16, 32, 48)).spec
SHAPE = (64, 128, 96)


def inference(memory_gb: float) -> Inference:
    compute = Compute(torch.device("cpu"), "fp32", 1)
    return Inference(0.5, "gaussian", memory_gb, False, compute)


@pytest.mark.parametrize(
    ("at", "window"), [(0, (16, 32, 48)), (1, (32, 16, 48)), (2, (48, 16, 32))]
)
def test_the_axis_of_the_slices_leads(at: int, window: tuple[int, int, int]) -> None:
    tiling = tiling_of(SPEC, SHAPE, inference(1.0), slices_at=at, backwards=True)

    assert tiling.window == window
    assert tiling.backwards


@pytest.mark.parametrize(
    ("memory_gb", "cut"), [(1e-6, False), (0.02, True), (1.0, False)]
)
def test_columns_are_cut_where_they_help(memory_gb: float, cut: bool) -> None:
    """Not where a tile is too large in itself, nor where all fits."""
    columns = columns_of(
        SPEC, SHAPE, SHAPE, inference(memory_gb), slices_at=2, channels=20
    )

    assert (len(columns) > 1) == cut


@pytest.mark.parametrize(("length", "cut"), [(64, True), (6400, False)])
def test_maps_that_take_more_than_the_sums_are_not_held(length: int, cut: bool) -> None:
    """The sums do not grow with the slices, and the maps do."""
    shape = (64, 128, length)
    how = inference(0.02)

    columns = columns_of(
        SPEC, shape, shape, how, slices_at=2, channels=20, voxel_bytes=14
    )

    assert (len(columns) > 1) == cut
