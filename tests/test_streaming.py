"""Inference in a stream gives the same result as on the whole volume.

Known answers: a network that is the identity; the textbook way in a few lines of torch
and numpy, with everything in memory at once; and the same volume stored otherwise.
"""

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import nn
from torch.nn import functional as F

from segpipe.images.formats import nifti
from segpipe.images.grid import Grid, Orientation
from segpipe.images.region import Region
from segpipe.images.volume import Image, ImageStream, LabelMap
from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.networks.unet2d import UNet2d
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.turning import leading as _leading
from segpipe.segmenter.plan import Normalization, Plan
from segpipe.segmenter.preprocessing.images import prepare_image, prepared_parts
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.tiles.layout import blend_weights, tile_starts
from segpipe.segmenter.tiles.tiling import plan_tiling
from tests.support.segmenters import NONE, ZSCORE, make_plan, make_segmenter

CPU = Compute(torch.device("cpu"), "fp32", 2)
CT = Normalization(kind="ct", low=0.2, high=0.9, mean=0.4, standard_deviation=0.2)
STORED = [
    Orientation(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product([False, True], repeat=3)
]
TIE = 1e-5  # two largest probabilities that are nearer may come in either order


def inference(**changes) -> Inference:
    return replace(Inference(0.5, "gaussian", 1e-6, False, CPU), **changes)


def plan(spacing, *normalization: Normalization, values=(0, 1)) -> Plan:
    return make_plan(
        spacing=spacing,
        channels=tuple(f"c{n}" for n in range(len(normalization))),
        shape=(16, 16, 16),
        normalization=normalization,
        structures=tuple(f"s{value}" for value in values),
        values=values,
    )


def segmenter(
    made: Plan,
    *,
    network: str,
    padding: str = "same",
    slice_axis: int | None = None,
    seeds: tuple[int, ...] = (0,),
) -> Segmenter:
    """A small network with random weights; tiles have at least 16 voxels of output."""
    spec = NetworkSpec(
        name=network, in_channels=1, out_channels=1, base_channels=2, padding=padding
    )
    patch = [build_network(spec).input_size(16)] * 3
    if slice_axis is not None:
        patch[slice_axis] = 1
    return make_segmenter(
        made,
        network=network,
        padding=padding,
        patch_size=(patch[0], patch[1], patch[2]),
        seeds=seeds,
    )


def threshold(spacing, slice_axis: int) -> Segmenter:
    """Logits (0.5, x): each voxel above 0.5 is 1.

    Only the first channel of the path along the full resolution is not zero; ReLU
    leaves intensities from 0 on as they are.
    """
    made = segmenter(plan(spacing, NONE), network="unet2d", slice_axis=slice_axis)
    (network,) = made.networks
    assert isinstance(network, UNet2d)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.down[0], network.merge[-1]):
            for layer in block:
                if isinstance(layer, nn.Conv2d):
                    layer.weight[0, 0, 1, 1] = 1
        network.classify.weight[1, 0] = 1
        network.classify.bias[0] = 0.5
    return made


def oblique(spacing, degrees=(12.0, -8.0, 5.0)) -> np.ndarray:
    """An affine near the world's axes that float32, as NIfTI stores it, holds."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(spacing)
    matrix[:3, 3] = (-90.5, 126.25, -72)
    return matrix


def stored_as(image: Image, orientation: Orientation) -> Image:
    """The same image with other axes."""
    array = np.ascontiguousarray(orientation.apply(image.array))
    return Image(array, image.grid.reoriented(orientation))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def smooth_noise(*shape: int) -> np.ndarray:
    """Blobs of some voxels, scaled from 0 to 1."""
    fine = torch.from_numpy(noise(1, *shape))
    soft = F.avg_pool3d(fine, 3, stride=1, padding=1, count_include_pad=False).numpy()
    return (soft - soft.min()) / (soft.max() - soft.min())


# Files: from the voxels of an image to the voxels of a label map.


def segment_file(made: Segmenter, source: Path, goal: Path) -> None:
    """As the stage predict does: slices in, slices out."""
    opened = nifti.open_image(source)
    slabs = made.slabs(opened, inference(memory_gb=3e-4))
    nifti.write_slices(
        goal, opened.grid, np.dtype(np.uint8), (slab.labels for slab in slabs)
    )


def test_each_stored_orientation_gives_the_label_map_of_its_own_voxels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From file to file, in 48 oblique orientations, no voxel moves."""
    monkeypatch.setattr(nifti, "LARGEST_WHOLE", 0)
    shape, spacing = (7, 19, 23), (0.7, 1.1, 3.2)
    start = Image(noise(1, *shape), Grid(shape, oblique(spacing), "mm"))
    source, goal = tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"

    for number, orientation in enumerate(STORED):
        image = stored_as(start, orientation)
        made = threshold(start.grid.spacing, number % 3)
        nifti.write_image(source, image.array[0], image.grid)
        segment_file(made, source, goal)
        found = nifti.read_label(goal)

        np.testing.assert_array_equal(found.array, image.array[0] > 0.5)
        assert found.grid.matches(image.grid, tolerance=1e-4)
        assert (
            found.grid.affine.tobytes()
            == nifti.open_image(source).grid.affine.tobytes()
        )


@settings(max_examples=15, deadline=None)
@given(
    orientation=st.sampled_from(STORED),
    shape=st.tuples(*[st.integers(1, 25)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 8)] * 3),
    degrees=st.tuples(*[st.floats(-180, 180)] * 3),
    slice_axis=st.integers(0, 2),
)
def test_any_shape_spacing_and_turn_gives_the_label_map_of_its_own_voxels(
    orientation, shape, spacing, degrees, slice_axis
) -> None:
    grid = Grid(shape, oblique(spacing, degrees), "mm")
    image = stored_as(Image(noise(1, *shape), grid), orientation)
    change = image.grid.to_canonical
    made = threshold(image.grid.reoriented(change).spacing, slice_axis)

    found = made.segment(image, inference())

    assert found.grid is image.grid
    np.testing.assert_array_equal(found.array, image.array[0] > 0.5)


# Orientation does not matter.


@pytest.mark.parametrize("network", ["unet3d", "vnet"])
def test_the_same_places_get_the_same_labels_however_they_are_stored(
    network: str,
) -> None:
    """Except at numerical ties, with tiles and resampling along each axis."""
    shape = (17, 14, 20)
    start = Image(smooth_noise(*shape), Grid(shape, oblique((1, 1.5, 2)), "mm"))
    made = segmenter(plan((1.2, 1.1, 1.9), ZSCORE, values=(0, 3, 7)), network=network)
    how = inference(overlap_fraction=0.25)
    expected = made.segment(start, how).array
    differing = {}

    for orientation in STORED:
        found = made.segment(stored_as(start, orientation), how).array
        differing[orientation] = int((orientation.undo(found) != expected).sum())

    assert len(np.unique(expected)) > 1
    assert max(differing.values()) < 1e-3 * expected.size, differing


# Equal to the straightforward way.


def textbook(made: Segmenter, image: Image, how: Inference) -> torch.Tensor:
    """Probabilities of a canonical image, all in memory: pad, loop, divide, resize."""
    array, grid = prepare_image(image, made.spec.plan)
    axis = made.spec.slice_axis
    tiling = plan_tiling(
        made.spec.network,
        patch_size=made.spec.patch_size,
        slice_axis=axis,
        shape=grid.shape,
        overlap_fraction=how.overlap_fraction,
        blending=how.blending,
        on_cpu=True,
        memory_gb=how.memory_gb,
    )
    # As much mirrored context as any tile can reach.
    reach = [w + m for w, m in zip(tiling.window, tiling.margin, strict=True)]
    padded = torch.from_numpy(
        np.pad(array, [(0, 0), *((r, r) for r in reach)], mode="reflect")
    )
    sums = torch.zeros(len(made.spec.plan.values), *padded.shape[1:])
    total = torch.zeros(padded.shape[1:])
    i, j, k = (blend_weights(window, how.blending) for window in tiling.window)
    weights = i[:, None, None] * j[:, None] * k
    starts = [
        tile_starts(length, window, how.overlap_fraction)
        for length, window in zip(grid.shape, tiling.window, strict=True)
    ]
    for start in itertools.product(*starts):
        seen, goal = (
            tuple(
                slice(s + r - more, s + r + w + more)
                for s, r, w, more in zip(
                    start, reach, tiling.window, margins, strict=True
                )
            )
            for margins in (tiling.margin, (0, 0, 0))
        )
        with torch.inference_mode():
            logits = apply_network(made.networks[0], padded[:, *seen][None], axis)
        sums[:, *goal] += weights * logits[0].softmax(dim=0)
        total[goal] += weights
    inside = tuple(slice(r, -r) for r in reach)
    shares = sums[:, *inside] / total[inside]
    return F.interpolate(shares[None], size=image.grid.shape, mode="trilinear")[0]


@dataclass(frozen=True)
class Way:
    """One way to run."""

    network: str
    padding: str = "same"
    slice_axis: int | None = None
    shape: tuple[int, int, int] = (26, 20, 33)
    memory_gb: float = 1e-6


WAYS = {
    "2-D across i": Way("unet2d", slice_axis=0),
    "2-D across j": Way("unet2d", slice_axis=1),
    "2-D across k": Way("unet2d", slice_axis=2),
    "2-D valid across j": Way("unet2d", "valid", slice_axis=1, shape=(24, 9, 20)),
    "3-D U-Net": Way("unet3d"),
    "3-D U-Net valid": Way("unet3d", "valid", shape=(26, 17, 20)),
    "V-Net": Way("vnet"),
    "V-Net in large tiles": Way("vnet", memory_gb=0.02, shape=(40, 41, 67)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(
    "spacing",
    [(1.0, 1.0, 1.0), (1.7, 0.8, 1.0), (0.9, 1.2, 1.6)],
    ids=["own", "i and j", "all"],
)
def test_slabs_are_what_the_whole_volume_gives(way: Way, spacing) -> None:
    """The labels are the same except at ties, where two classes are within 1e-5."""
    made = segmenter(
        plan(spacing, ZSCORE, values=(0, 1, 2)),
        network=way.network,
        padding=way.padding,
        slice_axis=way.slice_axis,
        seeds=(1,),
    )
    grid = Grid.from_spacing(way.shape, (1.0, 1.0, 1.0), "mm")
    image = Image(smooth_noise(*way.shape), grid)
    how = inference(memory_gb=way.memory_gb)
    expected = textbook(made, image, how)

    slabs = list(made.slabs(ImageStream.of(image), how, probabilities=True))

    labels = np.concatenate([slab.labels for slab in slabs], axis=2)
    shares = np.concatenate([slab.probabilities for slab in slabs], axis=3)
    np.testing.assert_allclose(shares, expected.numpy(), atol=TIE)
    first, second = expected.topk(2, dim=0).values
    elsewhere = labels != expected.argmax(dim=0).numpy()
    assert elsewhere.sum() <= 5e-4 * labels.size, int(elsewhere.sum())
    assert ((first - second).numpy()[elsewhere] < TIE).all()


def test_a_valid_networks_tiles_are_the_whole_images_pass() -> None:
    """Tiles lie at offsets of whole strides, without overlap."""
    made = segmenter(
        plan((1.0, 1.0, 1.0), NONE), network="unet2d", padding="valid", slice_axis=2
    )
    (network,) = made.networks
    assert network.output_size(made.spec.patch_size[0]) == 16 + 4
    array = noise(1, 84, 52, 3)  # 20 + 4 * 16 and 20 + 2 * 16: tiles lie at 16 n
    padded = np.pad(array, [(0, 0), (92, 92), (92, 92), (0, 0)], mode="reflect")
    with torch.inference_mode():
        planes = [
            network(torch.from_numpy(padded[None, ..., k]))[0].softmax(0)
            for k in range(3)
        ]
    how = inference(overlap_fraction=0.2, blending="constant")

    slabs = list(made.probabilities([array], (84, 52, 3), how))

    found = torch.cat([slab.values for slab in slabs]).transpose(0, 1)
    torch.testing.assert_close(found, torch.stack(planes, -1), atol=1e-5, rtol=0)


# Preparation.


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.5, 2.0), (1.7, 2.1, 3.1), (0.6, 0.9, 0.8), (0.7, 2.0, 2.0)]
)
@pytest.mark.parametrize(
    ("kinds", "region"),
    [((NONE,), None), ((ZSCORE, CT), None), ((ZSCORE, CT), "voxels")],
    ids=["none", "both", "region"],
)
def test_parts_together_are_the_prepared_image(spacing, kinds, region) -> None:
    """48 orientations; kept, shrinking, growing and mixed axes; empty borders."""
    shape = (17, 39, 23)
    start = Image(noise(len(kinds), *shape), Grid(shape, oblique((1, 1.5, 2)), "mm"))
    start.array[:, :, :9] = start.array[:, 5:7, 12:20, 3:8] = 0
    made = plan(spacing, *kinds)
    if region:
        chosen = Region(kind=region, background=(0.0,) * len(kinds))
        made = made.model_copy(update={"region": chosen})

    for orientation in STORED:
        image = stored_as(start, orientation)
        expected, grid = prepare_image(image, made)
        change = image.grid.to_canonical
        at = change.slices_at
        order = _leading((1, 2, 3), at)
        leading = expected.transpose(0, *order)
        if change.flips[at]:  # parts come in the order of the file
            leading = leading[:, ::-1]

        parts = list(prepared_parts(ImageStream.of(image), made))

        assert all(part.dtype == np.float32 for part in parts)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), leading, atol=1e-5)
        assert grid.shape == expected.shape[1:]


def grown(image: Image, pads: tuple[tuple[int, int], ...], value: float) -> Image:
    """An image with voxels of one value around it, in its own place."""
    array = np.pad(image.array, ((0, 0), *pads), constant_values=value)
    affine = image.grid.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [low for low, _ in pads]
    return Image(array, Grid(array.shape[1:], affine, "mm"))


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(*[st.tuples(st.integers(0, 9), st.integers(0, 9))] * 3),
    st.sampled_from(["box", "voxels"]),
    st.sampled_from([0.0, -1024.0]),
)
def test_padding_changes_neither_values_nor_labels(pads, kind, value) -> None:
    """Voxels of the background on any side: values to 1e-5, in training and in use.

    Right values by numpy, over the image without the padding; labels where these are
    above 1/2, but for ties.
    """
    shape = (12, 10, 14)
    array = 100 * noise(1, *shape) + 50
    array[:, 4:8, 3:5, 6:9] = value
    image = Image(array, Grid(shape, oblique((1, 1, 1), (0, 0, 0)), "mm"))
    made = threshold((1.0, 1.0, 1.0), slice_axis=2)
    region = Region(kind=kind, background=(value,))
    update = {"region": region, "normalization": (ZSCORE,)}
    changed_plan = made.spec.plan.model_copy(update=update)
    spec = made.spec.model_copy(update={"plan": changed_plan})
    counted = array[array != value] if kind == "voxels" else array
    expected = (array - counted.mean(dtype=float)) / counted.std(dtype=float)

    larger = grown(image, pads, value)
    inside = tuple(
        slice(low, low + size) for (low, _), size in zip(pads, shape, strict=True)
    )
    prepared, _ = prepare_image(larger, changed_plan)
    np.testing.assert_allclose(prepared[:, *inside], expected, rtol=1e-5, atol=1e-5)
    parts = list(prepared_parts(ImageStream.of(larger), changed_plan))
    streamed = np.concatenate(parts, axis=1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(streamed[:, *inside], expected, rtol=1e-5, atol=1e-5)
    labels = replace(made, spec=spec).segment(larger, inference()).array[inside]
    clear = np.abs(expected[0] - 0.5) > TIE
    np.testing.assert_array_equal(labels[clear], (expected[0] > 0.5)[clear])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.7, 2.1, 3.1)])
def test_a_plan_without_a_region_counts_all_resampled_voxels(spacing) -> None:
    """Segmenters written before there was a region prepare images as they did."""
    document = plan(spacing, ZSCORE).model_dump(mode="json", by_alias=True)
    del document["region"]
    old = Plan.model_validate_json(json.dumps(document))
    shape = (17, 39, 23)
    image = Image(noise(1, *shape), Grid(shape, np.eye(4), "mm"))
    image.array[:, :9] = 0
    plain = old.model_copy(update={"normalization": (NONE,)})
    expected, _ = prepare_image(image, plain)
    expected -= np.float32(expected.mean(dtype=float))
    whole = prepare_image(image, plain)[0].std(dtype=float)
    expected /= np.float32(whole)

    found, _ = prepare_image(image, old)
    np.testing.assert_array_equal(found, expected)
    parts = list(prepared_parts(ImageStream.of(image), old))
    streamed = np.concatenate(parts, axis=1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(streamed, expected, atol=1e-6)


# Mirroring and ensembles.


@pytest.mark.parametrize(
    ("network", "slice_axis"), [("unet3d", None), ("vnet", None), ("unet2d", 1)]
)
def test_a_mirrored_image_gets_the_mirrored_prediction(network, slice_axis) -> None:
    """With one tile, the mean over all mirrored images is symmetric."""
    made = segmenter(
        plan((1.0, 1.0, 1.0), NONE), network=network, slice_axis=slice_axis
    )
    array = noise(1, 16, 16, 16)
    axes = [axis for axis in range(3) if axis != slice_axis]

    def shares(values: np.ndarray, mirror: bool) -> torch.Tensor:
        how = inference(mirror=mirror)
        slabs = made.probabilities([values.copy()], (16, 16, 16), how)
        return torch.cat([slab.values for slab in slabs]).transpose(0, 1)

    for count in (1, len(axes)):
        for flip in itertools.combinations(axes, count):
            along = tuple(axis + 1 for axis in flip)
            straight, turned = (
                shares(values, True) for values in (array, np.flip(array, along))
            )
            torch.testing.assert_close(turned.flip(along), straight, atol=1e-5, rtol=0)
    once, again = shares(array, False), shares(np.flip(array, axes[0] + 1), False)
    assert (again.flip(axes[0] + 1) - once).abs().max() > 1e-3  # not so without


def uncertainties(seeds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    made = segmenter(plan((1.0, 1.3, 0.8), ZSCORE), network="vnet", seeds=seeds)
    shape = (20, 18, 24)
    image = Image(noise(1, *shape), Grid.from_spacing(shape, (1.0, 1.0, 1.0), "mm"))
    slabs = list(made.slabs(ImageStream.of(image), inference(), uncertainty=True))
    return (
        np.concatenate([slab.entropy for slab in slabs], axis=2),
        np.concatenate([slab.disagreement for slab in slabs], axis=2),
    )


def test_one_fold_never_disagrees_with_itself() -> None:
    """Also with the same fold twice: blending and resampling add no disagreement."""
    for seeds in [(0,), (0, 0)]:
        entropy, disagreement = uncertainties(seeds)

        assert entropy.min() >= 0
        assert entropy.max() <= 1 + 1e-6
        np.testing.assert_allclose(disagreement, 0, atol=1e-6)


def test_folds_disagree_by_no_more_than_the_entropy_of_their_mean() -> None:
    entropy, disagreement = uncertainties((0, 1))

    assert entropy.min() >= 0
    assert entropy.max() <= 1 + 1e-6
    assert disagreement.min() >= 0
    assert disagreement.max() > 0.01
    assert (disagreement <= entropy + 1e-6).all()


def test_the_label_map_is_a_label_map() -> None:
    made = segmenter(plan((1.0, 1.0, 1.0), NONE, values=(0, 300)), network="vnet")
    shape = (5, 6, 40)
    image = Image(noise(1, *shape), Grid.from_spacing(shape, (1.0, 1.0, 1.0), "mm"))

    found = made.segment(image, inference())

    assert isinstance(found, LabelMap)
    assert set(np.unique(found.array)) <= {0, 300}
