"""Labelling: columns give the same maps in the memory that was allowed."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.images.grid import Grid, Triple
from segpipe.images.region import Emptiness
from segpipe.images.volume import Image, ImageStream
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.cutting import columns_of
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.tiles.tiling import Tiling
from tests.support.memory import CLEAR_REFS, peak_bytes
from tests.support.segmenters import NONE, make_plan, make_segmenter

CPU = Compute(torch.device("cpu"), "fp32", 1)
TILING = Tiling((64, 64, 64), (0, 0, 0), 0.5, "gaussian", 1)
BODY = (300, 512, 512)


def many_classes(classes: int) -> Segmenter:
    names = tuple(f"structure {n}" for n in range(classes))
    plan = make_plan(
        normalization=(NONE,),
        structures=names,
        values=tuple(range(classes)),
        emptiness=Emptiness(floors=(0.0,), reach=1),
    )
    return make_segmenter(plan, network="unet3d", patch_size=(16, 16, 16))


def segment(made: Segmenter, image: Image, memory_gb: float) -> dict[str, np.ndarray]:
    how = inference(memory_gb)
    found = list(made.slabs(ImageStream.of(image), how, uncertainty=True, inside=True))
    names = ("labels", "inside", "entropy", "disagreement")
    return {n: np.concatenate([getattr(s, n) for s in found], 2) for n in names}


def inference(memory_gb: float) -> Inference:
    return Inference(0.5, "gaussian", memory_gb, False, CPU, "auto")


def image_of(shape: Triple, spacing: float, thickness: float) -> Image:
    """Noise beside air, in which nothing is computed."""
    array = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    array[:, : shape[0] // 3] = 0
    steps = (spacing, spacing, thickness)
    return Image(array, Grid.from_spacing(shape, steps, "mm"))


@pytest.mark.parametrize(
    ("spacing", "thickness", "slices"), [(1.0, 1.0, 17), (0.8, 0.8, 17), (1.3, 3.0, 7)]
)
def test_columns_give_the_maps_of_the_whole_image(
    spacing: float, thickness: float, slices: int
) -> None:
    made, image = many_classes(9), image_of((44, 40, slices), spacing, thickness)
    shape = image.grid.shape_at((1.0, 1.0, 1.0))
    columns = columns_of(
        made.spec,
        shape,
        image.grid.shape,
        inference(0.0012),
        slices_at=2,
        channels=10,
    )
    cut, whole = (segment(made, image, memory_gb) for memory_gb in (0.0012, 1.0))
    pairs = [(whole[name], cut[name]) for name in whole if name != "labels"]

    assert len(columns) > 1
    for one, other in pairs:
        np.testing.assert_allclose(other, one, atol=2e-5)
    assert (cut["labels"] == whole["labels"]).mean() > 0.999  # ties


def kept_memory() -> list[int]:
    """Bytes that 100 classes need, when few and when all of them are allowed."""
    made, image = many_classes(100), image_of((112, 112, 16), 1.0, 1.0)
    segment(made, image_of((32, 16, 16), 1.0, 1.0), 0.04)  # loads what libraries need
    peaks = []
    for memory_gb in (0.04, 1.0):
        how = replace(inference(memory_gb), overlap_fraction=0.0)
        for _ in range(2):  # at first libraries keep something for each size of tile
            with peak_bytes() as needed:
                for _ in made.slabs(ImageStream.of(image), how):
                    pass
        peaks += needed
    return peaks


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="needs Linux")
def test_the_memory_is_kept() -> None:
    """The sums of 100 classes over 16 slices of 112 x 112 take 80 MB.

    A process of its own has no holes of earlier tests, which arrays would fill one
    after another.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        peaks = fresh.submit(kept_memory).result()

    assert peaks[0] < 40e6
    assert peaks[1] > 80e6
