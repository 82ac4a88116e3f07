import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segpipe.images.grid import Grid
from segpipe.images.instances import components
from segpipe.images.region import Emptiness, Region
from segpipe.images.volume import Image, ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.rules.postprocessing import NOTHING, StructureRule, apply_rules
from segpipe.segmenter.segmenter import Inference, Segmenter
from segpipe.segmenter.sliding_window import Slab, resampled_slabs
from segpipe.segmenter.spec import segmenter_digest
from tests.support.segmenters import NONE, ZSCORE, make_plan, make_segmenter

LARGEST = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=False)
CT = Normalization(kind="ct", low=-20, high=120, mean=50, standard_deviation=30)
COMPUTE = Compute(torch.device("cpu"), "fp32", 2)
INFERENCE = Inference(0.5, "gaussian", 0.001, False, COMPUTE)


def segmenter(
    *, network="unet3d", patch_size=(16, 16, 16), seed=0, values=(0, 7)
) -> Segmenter:
    plan = make_plan(
        shape=(16, 16, 16),
        normalization=(NONE,),
        structures=tuple(f"s{value}" for value in values),
        values=values,
    )
    return make_segmenter(plan, network=network, patch_size=patch_size, seeds=(seed,))


@pytest.mark.parametrize("goal", [(9, 8, 7), (30, 5, 12), (4, 20, 7), (23, 31, 3)])
@pytest.mark.parametrize("cuts", [(3, 4, 8), (1, 2), (5,), ()])
def test_slabs_resample_like_the_whole_volume(goal, cuts) -> None:
    values = torch.rand(9, 2, 8, 7, generator=torch.Generator().manual_seed(0))
    ends = [0, *cuts, 9]
    parts = (Slab(a, values[a:b]) for a, b in itertools.pairwise(ends))
    expected = F.interpolate(values.transpose(0, 1)[None], size=goal, mode="trilinear")[
        0
    ]

    slabs = list(resampled_slabs(parts, (9, 8, 7), goal))

    assert [slab.start for slab in slabs] == np.cumsum(
        [0, *(len(slab.values) for slab in slabs[:-1])]
    ).tolist()
    result = torch.cat([slab.values for slab in slabs]).transpose(0, 1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_a_saved_segmenter_segments_alike(tmp_path) -> None:
    made = segmenter()
    image = Image(
        np.random.default_rng(0).random((1, 20, 18, 22)).astype(np.float32),
        Grid.from_spacing((20, 18, 22), (1.0, 1.0, 1.0), "mm"),
    )

    made.save(tmp_path / "a")
    made.save(tmp_path / "b")
    read = Segmenter.load(tmp_path / "a")

    assert segmenter_digest(tmp_path / "a") == segmenter_digest(tmp_path / "b")
    before, after = made.segment(image, INFERENCE), read.segment(image, INFERENCE)
    np.testing.assert_array_equal(before.array, after.array)
    assert set(np.unique(before.array)) <= {0, 7}


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_2d_network_segments_a_volume_slice_by_slice(slice_axis: int) -> None:
    """A slice alone gets the same labels as within the volume."""
    patch_size = tuple(1 if axis == slice_axis else 16 for axis in range(3))
    made = segmenter(network="unet2d", patch_size=patch_size)
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)
    grid = Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm")
    one = np.take(array, [5], axis=1 + slice_axis)
    flat = Grid.from_spacing(one.shape[1:], (1.0, 1.0, 1.0), "mm")

    whole = made.segment(Image(array, grid), INFERENCE).array
    alone = made.segment(Image(one, flat), INFERENCE).array

    np.testing.assert_array_equal(np.take(whole, [5], axis=slice_axis), alone)


def test_a_label_map_lies_on_the_images_own_grid() -> None:
    """The same places get the same labels, however the image is stored."""
    made = segmenter()
    array = np.random.default_rng(0).random((1, 16, 24, 16)).astype(np.float32)
    straight = Grid.from_spacing((16, 24, 16), (1.0, 1.0, 1.0), "mm")
    expected = made.segment(Image(array, straight), INFERENCE).array
    turned = np.diag([0.0, 0.0, 0.0, 1.0])
    turned[0, 1], turned[1, 2], turned[2, 0] = -1, 1, -1  # i -> -S, j -> -R, k -> A
    grid = Grid((16, 16, 24), turned, "mm")
    stored = np.flip(array.transpose(0, 3, 1, 2), (1, 2))

    result = made.segment(Image(np.ascontiguousarray(stored), grid), INFERENCE)

    assert result.grid is grid
    np.testing.assert_array_equal(
        result.array, np.flip(expected.transpose(2, 0, 1), (0, 1))
    )


def test_folds_vote_by_the_mean_of_their_probabilities(tmp_path) -> None:
    first, second = segmenter(seed=1), segmenter(seed=2)
    first.save(tmp_path / "0")
    second.save(tmp_path / "1")
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)

    both = Segmenter.ensemble([tmp_path / "0", tmp_path / "1"])
    parts = [
        torch.cat(
            [
                slab.values
                for slab in s.probabilities([array], array.shape[1:], INFERENCE)
            ]
        )
        for s in (first, second, both)
    ]

    torch.testing.assert_close((parts[0] + parts[1]) / 2, parts[2], atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused_with_its_name(tmp_path) -> None:
    made = segmenter()
    made.save(tmp_path / "a")
    segmenter(values=(0, 7, 9)).save(tmp_path / "b")
    two_channels = Image(
        np.zeros((2, 4, 4, 4), dtype=np.float32),
        Grid.from_spacing((4, 4, 4), (1.0, 1.0, 1.0), "mm"),
    )

    with pytest.raises(DataError, match="expected 1 channels"):
        made.segment(two_channels, INFERENCE)
    with pytest.raises(DataError, match="so that all folds share them"):
        Segmenter.ensemble([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a" / "weights-0.safetensors").unlink()
    with pytest.raises(DataError, match="complete folder of a segmenter"):
        Segmenter.load(tmp_path / "a")
    with pytest.raises(DataError, match=r"spec\.json"):
        Segmenter.load(tmp_path / "nowhere")


def with_rules(made: Segmenter, *rules: StructureRule) -> Segmenter:
    spec = made.spec.model_copy(update={"postprocessing": rules})
    return Segmenter(spec, made.networks)


def test_rules_are_applied_to_the_whole_label_map_on_its_own_grid() -> None:
    """Voxels have 2 mm³ in the image and 1 mm³ on the prepared grid."""
    array = np.random.default_rng(0).random((1, 16, 18, 22)).astype(np.float32)
    image = Image(array, Grid.from_spacing((16, 18, 22), (1.0, 1.0, 2.0), "mm"))
    plain = segmenter(values=(0, 7, 9), seed=4)

    def sizes(made: Segmenter) -> list[int]:
        label = made.segment(image, INFERENCE).array
        found = components(label == 7, connectivity="all")
        return sorted(np.bincount(found[found > 0])[1:].tolist())

    before = sizes(plain)
    assert before[0] < 10 <= before[-2]
    below_20_mm3 = NOTHING.model_copy(update={"smallest_mm3": 20.0})
    assert sizes(with_rules(plain, LARGEST, NOTHING)) == before[-1:]
    assert sizes(with_rules(plain, NOTHING, LARGEST)) == before
    assert sizes(with_rules(plain, below_20_mm3, NOTHING)) == [
        size for size in before if size >= 10
    ]


def test_slabs_are_left_to_whoever_collects_them() -> None:
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)
    image = Image(array, Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm"))
    plain = segmenter()
    tidy = with_rules(plain, LARGEST)

    slabs = [slab.labels for slab in tidy.slabs(ImageStream.of(image), INFERENCE)]
    whole = np.concatenate(slabs, axis=2)

    np.testing.assert_array_equal(whole, plain.segment(image, INFERENCE).array)
    np.testing.assert_array_equal(
        apply_rules(whole, tidy.spec.rules, voxel_volume=1.0),
        tidy.segment(image, INFERENCE).array,
    )


def test_an_ensemble_keeps_the_rules_that_all_folds_chose(tmp_path) -> None:
    both = LARGEST.model_copy(update={"fill_holes": True})
    for fold, rule in enumerate((both, LARGEST)):
        with_rules(segmenter(seed=fold), rule).save(tmp_path / str(fold))
    segmenter(seed=2).save(tmp_path / "2")

    two, three = (
        Segmenter.ensemble([tmp_path / str(fold) for fold in range(n)]) for n in (2, 3)
    )
    alone = Segmenter.ensemble([tmp_path / "0"])

    assert two.spec.rules == {7: LARGEST}
    assert three.spec.rules == {}
    assert alone.spec.rules == {7: both}


def test_a_segmenter_from_before_there_were_rules_has_none(tmp_path) -> None:
    with_rules(segmenter(), NOTHING).save(tmp_path)
    document = json.loads((tmp_path / "spec.json").read_text())
    del document["postprocessing"]
    (tmp_path / "spec.json").write_text(json.dumps(document))

    assert Segmenter.load(tmp_path).spec.rules == {}


@pytest.mark.parametrize("network", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_logits_that_are_not_finite_are_an_error_and_no_empty_mask(
    network: str, value: float
) -> None:
    """The last layer adds its bias to every logit, and two of 3e38 overflow."""
    flat = (16, 16, 1) if network == "unet2d" else (16, 16, 16)
    made = segmenter(network=network, patch_size=flat)
    last = [name for name, _ in made.networks[0].named_parameters()][-1]
    bias = dict(made.networks[0].named_parameters())[last]
    torch.nn.init.constant_(bias, value)
    image = Image(
        np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32),
        Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm"),
    )

    with pytest.raises(DataError, match="expected finite logits"):
        made.segment(image, INFERENCE)


@pytest.mark.parametrize("how", [NONE, ZSCORE, CT])
@pytest.mark.parametrize("turned", [False, True])
def test_what_holds_nothing_is_background_and_the_rest_is_as_before(
    how: Normalization, turned: bool
) -> None:
    """A block fills the plane, so tiles over it are the same ones."""
    air = -1024.0
    plan = make_plan(
        normalization=(how,),
        region=Region(kind="box", background=(air,)),
        emptiness=Emptiness(floors=(-20.0 if how is CT else air,), reach=4),
    )
    made = make_segmenter(plan, network="unet3d", seeds=(0, 1))
    array = np.full((1, 16, 16, 80), air, dtype=np.float32)
    rng = np.random.default_rng(0)
    array[0, :, :, 40:56] = rng.normal(50, 30, (16, 16, 16))
    matrix = np.diag([1.0, 1.0, -1.0 if turned else 1.0, 1.0])
    image = Image(array, Grid((16, 16, 80), matrix, "mm"))
    stream = ImageStream.of(image)

    def labelled(skip_empty: str) -> tuple[np.ndarray, np.ndarray]:
        inference = replace(INFERENCE, skip_empty=skip_empty)
        found = list(made.slabs(stream, inference, uncertainty=True))
        return tuple(
            np.concatenate([getattr(slab, name) for slab in found], axis=2)
            for name in ("labels", "entropy")
        )

    labels, entropy = labelled("auto")
    before, unsure = labelled("never")

    assert not labels[:, :, :16].any()
    assert not entropy[:, :, :16].any()
    assert unsure[:, :, :16].any()
    np.testing.assert_array_equal(labels[:, :, 44:52], before[:, :, 44:52])
    assert labels[:, :, 44:52].any()
    np.testing.assert_allclose(entropy[:, :, 44:52], unsure[:, :, 44:52], atol=1e-6)


def test_nothing_is_left_out_where_the_plan_does_not_know_what_is_empty() -> None:
    made = segmenter()
    array = np.zeros((1, 40, 16, 16), dtype=np.float32)
    array[0, :16] = np.random.default_rng(0).random((16, 16, 16))
    image = Image(array, Grid.from_spacing((40, 16, 16), (1.0, 1.0, 1.0), "mm"))

    labels = [
        made.segment(image, replace(INFERENCE, skip_empty=how)).array
        for how in ("auto", "never")
    ]

    np.testing.assert_array_equal(*labels)
