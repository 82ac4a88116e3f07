"""Coarse: all that is far from what a coarse network found is background."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import nn

from segpipe.images.grid import Grid, Triple
from segpipe.images.region import Emptiness
from segpipe.images.volume import Image, ImageStream
from segpipe.networks.unet3d import UNet3d
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from segpipe.segmenter.tiles.emptiness import Near
from tests.support.segmenters import (
    NONE,
    TUMOUR,
    make_plan,
    make_segmenter,
    with_coarse,
)

CPU = Compute(torch.device("cpu"), "fp32", 1)
INFERENCE = Inference(0.5, "gaussian", 1.0, False, CPU)
SHAPE, FACTOR, REACH = (34, 29, 23), (4, 2, 3), 1
# Canonical; with slices from left to right; with slices from head to feet.
TURNS = {
    "as is": np.diag([1.0, 1, 1, 1]),
    "sagittal": np.array([[0, 0, 1, 0], [1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "from head to feet": np.diag([1.0, -1, -1, 1]),
}


def made_for(threshold: float, **changes: object) -> Segmenter:
    plan = make_plan(normalization=(NONE,), **changes)
    made = make_segmenter(plan, network="unet3d", seeds=(1, 2))
    return with_coarse(made, factor=FACTOR, threshold=threshold, reach=REACH)


def image_of(turn: str) -> Image:
    """The same noise along the canonical axes, stored in another order."""
    canonical = np.random.default_rng(0).random((1, *SHAPE)).astype(np.float32)
    grid = Grid(shape_of(turn), TURNS[turn], "mm")
    return Image(grid.to_canonical.undo(canonical), grid)


def shape_of(turn: str) -> Triple:
    axes = np.abs(TURNS[turn][:3, :3]).argmax(0)
    i, j, k = (SHAPE[axis] for axis in axes)
    return i, j, k


def probabilities(made: Segmenter, image: Image, inference: Inference) -> np.ndarray:
    """Along the canonical axes."""
    stream = ImageStream.of(image)
    slabs = made.slabs(stream, inference, probabilities=True)
    whole = np.concatenate([slab.probabilities for slab in slabs], axis=-1)
    return image.grid.to_canonical.apply(whole)


def looked_at(made: Segmenter) -> np.ndarray:
    """Where it looks, by the coarse networks and numpy alone."""
    (volume,) = image_of("as is").array
    means = np.empty(
        [-(-size // n) for size, n in zip(SHAPE, FACTOR, strict=True)], np.float32
    )
    for place in np.ndindex(means.shape):
        means[place] = volume[
            tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, FACTOR, strict=True))
        ].mean()
    grid = Grid.from_spacing(means.shape, made.coarse.spec.plan.spacing, "mm")
    mask = np.zeros(means.shape, bool)
    for n, threshold in enumerate(made.spec.coarse.thresholds):
        spec = made.coarse.spec.model_copy(update={"temperatures": (1.0,)})
        alone = Segmenter(spec, made.coarse.networks[n : n + 1])
        found = probabilities(alone, Image(means[None], grid), INFERENCE)
        mask |= scipy.ndimage.binary_dilation(found[1] > threshold, np.ones((3, 3, 3)))
    for axis, n in enumerate(FACTOR):
        mask = mask.repeat(n, axis).take(range(SHAPE[axis]), axis)
    return mask


def threshold_for(share: float) -> float:
    """The threshold by which about a share of the volume is looked at."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        seen = looked_at(made_for(middle)).mean()
        low, high = (middle, high) if seen > share else (low, middle)
    assert 0 < looked_at(made_for(low)).mean() < 0.9
    return low


@pytest.fixture(scope="module")
def threshold() -> float:
    return threshold_for(0.4)


class Pointwise(UNet3d):
    """It looks at each voxel alone, so that it does not matter where tiles lie."""

    def __init__(self, seed: int, classes: int = 3) -> None:
        torch.manual_seed(seed)
        super().__init__(1, classes, base_channels=2, padding="same")
        self.point = nn.Conv3d(1, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.point(20 * image - 10)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("memory_gb", [1.0, 0.0005])
def test_it_is_the_same_where_it_looks_and_background_elsewhere(
    turn: str, memory_gb: float, threshold: float
) -> None:
    """However the slices of the file lie, in tiles of any size and in columns."""
    made, image = made_for(threshold), image_of(turn)
    made = replace(made, networks=(Pointwise(1), Pointwise(2)))
    inference = replace(INFERENCE, memory_gb=memory_gb)
    everywhere = replace(made, coarse=None)

    found = probabilities(made, image, inference)
    labels = labels_of(made, image, inference)

    mask = looked_at(made)
    whole = probabilities(everywhere, image, inference)
    np.testing.assert_array_equal(found[0][~mask], 1)
    np.testing.assert_array_equal(found[1:, ~mask], 0)
    np.testing.assert_allclose(found[:, mask], whole[:, mask], atol=1e-6)
    assert labels.any()
    values = np.array(made.spec.plan.values)
    np.testing.assert_array_equal(labels, np.where(mask, values[whole.argmax(0)], 0))


def labels_of(made: Segmenter, image: Image, inference: Inference) -> np.ndarray:
    """Along the canonical axes, before post-processing."""
    slabs = made.slabs(ImageStream.of(image), inference)
    whole = np.concatenate([slab.labels for slab in slabs], axis=-1)
    return image.grid.to_canonical.apply(whole[None])[0]


def test_labels_and_uncertainty_follow(threshold: float) -> None:
    made, image = made_for(threshold), image_of("sagittal")
    apply = image.grid.to_canonical.apply
    stream = ImageStream.of(image)

    slabs = list(made.slabs(stream, INFERENCE, uncertainty=True, inside=True))

    mask = looked_at(made)
    for name in ("labels", "entropy", "disagreement", "inside"):
        maps = apply(np.concatenate([getattr(s, name) for s in slabs], -1)[None])[0]
        assert not maps[~mask].any()
        assert maps[mask].any()


def test_structures_that_overlap_are_all_absent_elsewhere(threshold: float) -> None:
    made = made_for(threshold, **TUMOUR)

    found = probabilities(made, image_of("as is"), INFERENCE)

    mask = looked_at(made)
    assert not found[:, ~mask].any()
    assert (found[:, mask] > 0).all()


@pytest.mark.parametrize("threshold", [1.0, -1.0])
def test_nothing_found_is_background_and_everything_found_is_everything(
    threshold: float,
) -> None:
    made, image = made_for(threshold), image_of("from head to feet")

    labels = made.segment(image, INFERENCE).array

    whole = replace(made, coarse=None).segment(image, INFERENCE).array
    assert whole.any()
    np.testing.assert_array_equal(labels, 0 if threshold == 1 else whole)


def test_only_tiles_where_it_looks_are_computed() -> None:
    """None, those that hold a voxel that is looked at, or all."""
    ran = []
    made = replace(made_for(threshold_for(0.01)), networks=(Pointwise(1), Pointwise(2)))
    made.networks[0].register_forward_pre_hook(
        lambda _, given: ran.append(len(given[0]))
    )
    stream = ImageStream.of(image_of("as is"))

    def count(segmenter: Segmenter, inference: Inference = INFERENCE) -> int:
        ran.clear()
        list(segmenter.slabs(stream, inference))
        return sum(ran)

    def with_thresholds(value: float) -> Segmenter:
        how = made.spec.coarse.model_copy(update={"thresholds": (value, value)})
        return replace(made, spec=made.spec.model_copy(update={"coarse": how}))

    everything = count(replace(made, coarse=None))
    assert count(with_thresholds(1.0)) == 0
    assert 0 < count(made) < everything
    assert count(with_thresholds(-1.0)) == everything
    assert count(made, replace(INFERENCE, coarse="never")) == everything


def test_a_structure_in_the_air_beside_the_body_is_found_if_both_rules_allow_it():
    """The plan knows that structures reach into the air; the coarse network sees it."""
    shape, air = (48, 16, 16), 20
    plan = make_plan(
        normalization=(NONE,),
        structures=("background", "structure"),
        values=(0, 1),
        emptiness=Emptiness(floors=(0.0,), reach=24),
    )
    made = make_segmenter(plan, network="unet3d")
    made = replace(made, networks=(Pointwise(1, classes=2),))
    made = with_coarse(made, factor=(4, 4, 4), threshold=-1.0)
    array = np.ones((1, *shape), np.float32)
    array[:, air:] = 0
    image = Image(array, Grid.from_spacing(shape, (1.0, 1.0, 1.0), "mm"))
    mask = np.zeros((12, 4, 4), bool)
    mask[7:9] = True  # voxels 28 to 36, in the air alone
    near = Near.of(mask, shape, (4, 4, 4), slices_at=0, backwards=False)

    def found(near: Near | None, floors: np.ndarray | None) -> np.ndarray:
        parts = iter([array])
        slabs = made.probabilities(
            parts, shape, INFERENCE, floors=floors, near=near, slices_at=0
        )
        return np.concatenate([slab.values[:, 1].numpy() for slab in slabs])

    everywhere, floors = found(None, None), np.zeros(1, np.float32)
    assert everywhere[28:36].min() > 0
    assert image.array[0, 28:36].max() == 0
    for rules in ((None, floors), (near, None), (near, floors)):
        np.testing.assert_allclose(found(*rules)[28:36], everywhere[28:36], atol=1e-6)
    assert not found(near, floors)[:28].any()


def test_it_is_saved_and_identified_with_its_coarse_networks(tmp_path: Path) -> None:
    made = made_for(0.25)
    made.save(tmp_path)

    read = Segmenter.load(tmp_path)

    assert read.spec == made.spec
    assert read.coarse is not None
    assert read.coarse.spec == made.coarse.spec
    for one, other in zip(read.coarse.networks, made.coarse.networks, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    before = segmenter_digest(tmp_path)
    file = tmp_path / "coarse-1.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    assert segmenter_digest(tmp_path) != before
    file.unlink()
    with pytest.raises(DataError, match="expected 2 files of weights"):
        Segmenter.load(tmp_path)


def test_folds_look_where_each_of_them_says(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, threshold in zip(folders, (0.3, 0.1), strict=True):
        made_for(threshold).save(folder)

    both = Segmenter.ensemble(folders)

    assert both.spec.coarse.thresholds == (0.3, 0.3, 0.1, 0.1)
    assert len(both.coarse.networks) == len(both.networks) == 4
    each = [looked_at(made_for(threshold)) for threshold in (0.3, 0.1)]
    np.testing.assert_array_equal(looked_at(both), each[0] | each[1])
    spec = made_for(0.1).spec.model_copy(update={"coarse": None})
    Segmenter(spec, made_for(0.1).networks).save(folders[0])
    with pytest.raises(DataError, match="expected the plan and network"):
        Segmenter.ensemble(folders)


def test_openvino_runs_the_coarse_networks_too(threshold: float) -> None:
    pytest.importorskip("openvino")
    made, image = made_for(threshold), image_of("as is")
    engine = replace(INFERENCE, compute=replace(CPU, engine="openvino"))

    found = probabilities(made, image, engine)

    mask = looked_at(made)
    assert (
        found[0][~mask] == 1
    ).mean() > 0.99  # but where the threshold is met exactly
    np.testing.assert_allclose(found, probabilities(made, image, INFERENCE), atol=2e-3)
