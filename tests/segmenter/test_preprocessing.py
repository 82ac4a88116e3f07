"""Preprocessing against other libraries and analytic images."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.images.formats.raster import read_image
from segpipe.images.grid import Grid
from segpipe.images.region import Region
from segpipe.images.volume import Image, ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import Normalization, Plan
from segpipe.segmenter.preprocessing import (
    classes_of,
    measure_image,
    normalize,
    prepare_image,
    prepared_parts,
    resample_classes,
    resample_image,
    resample_instances,
    values_of,
    vanished_slices,
)
from tests.support.phantoms import ball
from tests.support.segmenters import NONE, ZSCORE, make_plan

CT = Normalization(
    kind="ct", low=-100.0, high=300.0, mean=50.0, standard_deviation=80.0
)


PERCENTILE = Normalization(
    kind="percentile", low=1.0, high=99.8, mean=0.0, standard_deviation=0.25
)


def plan(spacing: tuple[float, float, float], *kinds: Normalization) -> Plan:
    return make_plan(
        spacing=spacing,
        channels=tuple(f"c{n}" for n in range(len(kinds))),
        normalization=kinds,
        structures=("background", "liver", "spleen"),
        values=(0, 2, 7),
        ignore=255,
    )


def smooth(shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    waves = np.zeros(shape)
    where = np.indices(shape)
    for _ in range(4):
        direction = rng.uniform(-0.3, 0.3, 3).reshape(3, 1, 1, 1)
        waves += np.sin((where * direction).sum(axis=0) + rng.uniform(0, 6))
    return waves.astype(np.float32)


def test_finer_grids_join_voxel_centres_linearly_as_simpleitk_does() -> None:
    array = smooth((20, 16, 12))
    shape = (40, 24, 30)
    found = resample_image(array[None], shape)[0]
    image = SimpleITK.GetImageFromArray(array.T)
    goal = SimpleITK.Image(*shape, SimpleITK.sitkFloat32)
    scale = [n / m for n, m in zip(array.shape, shape, strict=True)]
    goal.SetSpacing(scale)
    goal.SetOrigin([(s - 1) / 2 for s in scale])
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Resample(image, goal)).T

    inside = tuple(slice(2, -2) for _ in range(3))
    assert np.abs(found - expected)[inside].max() < 1e-5


def test_coarser_grids_take_the_mean_over_each_voxels_extent() -> None:
    array = smooth((24, 18, 12))
    found = resample_image(array[None], (12, 6, 3))[0]

    expected = array.reshape(12, 2, 6, 3, 3, 4).mean(axis=(1, 3, 5))
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("shape", [(7, 5, 3), (13, 22, 9), (20, 16, 12)])
def test_a_constant_stays_constant_and_the_mean_is_kept(
    shape: tuple[int, int, int],
) -> None:
    constant = np.full((1, 20, 16, 12), 3.25, dtype=np.float32)
    assert np.abs(resample_image(constant, shape) - 3.25).max() < 1e-5

    if all(n <= m for n, m in zip(shape, (20, 16, 12), strict=True)):
        array = smooth((20, 16, 12))[None]
        assert resample_image(array, shape).mean() == pytest.approx(
            array.mean(), abs=1e-4
        )


def test_a_ramp_stays_a_ramp_in_the_world() -> None:
    """The error is below a seventh of a voxel; a shift of half a voxel would be 0.7."""
    grid = Grid.from_spacing((30, 20, 10), (1.0, 1.5, 3.0), "mm")
    where = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"))
    world = where * np.array(grid.spacing).reshape(3, 1, 1, 1)
    ramp = (2 * world[0] - world[1] + 0.5 * world[2]).astype(np.float32)
    array, prepared = prepare_image(
        Image(ramp[None], grid), plan((0.7, 2.0, 1.1), NONE)
    )

    ends = [np.arange(n) for n in prepared.shape]
    i, j, k = np.meshgrid(*ends, indexing="ij")
    places = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ prepared.affine.T
    expected = 2 * places[..., 0] - places[..., 1] + 0.5 * places[..., 2]
    inside = tuple(slice(3, -3) for _ in range(3))
    assert np.abs(array[0] - expected)[inside].max() < 0.2
    assert prepared.spacing == pytest.approx((0.7, 2.0, 1.1), rel=0.05)


def test_any_stored_orientation_gives_the_same_prepared_image() -> None:
    grid = Grid.from_spacing((12, 10, 8), (1.0, 1.0, 2.0), "mm")
    array = smooth(grid.shape)
    wanted, _ = prepare_image(Image(array[None], grid), plan((1.0, 1.0, 1.0), NONE))
    affine = np.array([[0, 0, -1, 11], [1, 0, 0, 0], [0, -2, 0, 14], [0, 0, 0, 1.0]])
    turned = np.ascontiguousarray(array.transpose(1, 2, 0)[:, ::-1, ::-1])
    other = Grid((10, 8, 12), affine, "mm")
    found, _ = prepare_image(Image(turned[None], other), plan((1.0, 1.0, 1.0), NONE))

    assert np.allclose(found, wanted, atol=1e-6)


def test_labels_are_never_interpolated() -> None:
    """Along one axis, the nearer of two voxels has three quarters of a half voxel."""
    classes = np.random.default_rng(1).integers(0, 3, (9, 8, 7)).astype(np.int16)

    assert set(np.unique(resample_classes(classes, (20, 5, 13)))) <= {0, 1, 2}
    for axis in range(3):
        shape = [size * (1 + (n == axis)) for n, size in enumerate(classes.shape)]
        finer = resample_classes(classes, (shape[0], shape[1], shape[2]))
        assert np.array_equal(finer, classes.repeat(2, axis))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_coarser_voxel_has_the_class_of_most_of_its_voxels(factor: int) -> None:
    """Counted voxel by voxel; a tie is the structure's, and the first structure's."""
    rng = np.random.default_rng(factor)
    classes = rng.integers(0, 3, (6 * factor, 5 * factor, 4)).astype(np.int16)
    blocks = classes.reshape(6, factor, 5, factor, 4).transpose(0, 2, 4, 1, 3)
    counts = [(blocks == c).sum(axis=(3, 4)) for c in (1, 2, 0)]

    expected = np.array([1, 2, 0])[np.argmax(counts, axis=0)]
    assert np.array_equal(resample_classes(classes, (6, 5, 4)), expected)


@pytest.mark.parametrize("shape", [(20, 20, 20), (20, 40, 10), (27, 16, 55), (80,) * 3])
def test_a_ball_stays_where_it_is(shape: tuple[int, int, int]) -> None:
    """Nearest voxels shifted it by half a voxel along axes with an even factor."""
    drawn = ball(13, shape=(40, 40, 40), center=(17, 20, 21)).astype(np.int16)
    found = resample_classes(drawn, shape)

    scale = [40 / size for size in shape]
    where = (np.argwhere(found == 1) + 0.5) * scale - 0.5
    assert where.mean(axis=0) == pytest.approx([17, 20, 21], abs=0.1)
    volume = (found == 1).sum() * np.prod(scale)
    assert volume == pytest.approx((drawn == 1).sum(), rel=0.06)


SIZES = st.tuples(*[st.integers(1, 9)] * 3)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=SIZES, goal=SIZES)
def test_a_flipped_case_is_prepared_to_the_flipped_result(
    data: st.DataObject, shape: tuple[int, int, int], goal: tuple[int, int, int]
) -> None:
    """Image, label map with voxels that nobody annotated, and instances."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    axes = data.draw(st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)]))
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    ids = rng.integers(0, 4, shape).astype(np.int32)
    classes = np.where(ids > 2, 2, ids > 0).astype(np.int16)
    classes[rng.random(shape) < data.draw(st.sampled_from([0, 0.3, 0.9]))] = -1

    def flip(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.flip(array, [a + array.ndim - 3 for a in axes]))

    one, other = resample_image(flip(image), goal), flip(resample_image(image, goal))
    assert np.allclose(one, other, atol=1e-5)
    label = resample_classes(classes, goal)
    flipped = resample_classes(flip(classes), goal)
    assert np.array_equal(flipped, flip(label))
    found = resample_instances(ids, classes, label)
    assert np.array_equal(
        resample_instances(flip(ids), flip(classes), flipped), flip(found)
    )


def test_instances_are_where_their_structure_is() -> None:
    """Two that share a voxel are more than the background, together; and id 9 is 2."""
    ids = np.array([1, 1, 3, 9, 9, 9, 0, 70_000]).reshape(8, 1, 1).astype(np.int32)
    drawn = np.array([1, 1, 1, 2, 2, 2, 0, 1]).reshape(8, 1, 1).astype(np.int16)
    for size, label, found in (
        (1, [1], [1]),
        (2, [1, 2], [1, 9]),
        (4, [1, 1, 2, 1], [1, 3, 9, 70_000]),
    ):
        classes = resample_classes(drawn, (size, 1, 1))
        assert classes.ravel().tolist() == label
        assert resample_instances(ids, drawn, classes).ravel().tolist() == found


def test_z_scores_have_mean_0_and_deviation_1() -> None:
    channel = smooth((20, 20, 20)) * 40 + 1000
    normalize(channel, ZSCORE)

    assert abs(channel.mean()) < 1e-4
    assert channel.std() == pytest.approx(1, abs=1e-4)
    flat = np.full((3, 3, 3), 7, dtype=np.float32)
    normalize(flat, ZSCORE)
    assert not flat.any()


def test_ct_is_clipped_and_scaled_by_the_data_set() -> None:
    channel = np.array([-1000, -100, 50, 300, 3000], dtype=np.float32).reshape(5, 1, 1)
    normalize(channel, CT)

    expected = [-150 / 80, -150 / 80, 0, 250 / 80, 250 / 80]
    assert channel.ravel() == pytest.approx(expected)


def test_original_values_come_out_again() -> None:
    values = np.array([0, 2, 7, 255, 7]).reshape(5, 1, 1)
    classes = classes_of(values, plan((1.0, 1.0, 1.0), NONE))

    assert classes.ravel().tolist() == [0, 1, 2, -1, 2]
    back = values_of(classes[[0, 1, 2, 4]], plan((1.0, 1.0, 1.0), NONE))
    assert back.ravel().tolist() == [0, 2, 7, 7]


def test_an_unknown_value_is_refused_with_the_known_ones() -> None:
    values = np.array([0, 3, 2]).reshape(3, 1, 1)

    with pytest.raises(DataError, match=r"\[0, 2, 7, 255\].*found \[3\]"):
        classes_of(values, plan((1.0, 1.0, 1.0), NONE))


def test_a_lone_annotated_slice_that_would_vanish_is_found() -> None:
    annotated = np.full((8, 8, 12), -1, dtype=np.int16)
    annotated[:, :, 5] = 0
    annotated[2:5, 2:5, 5] = 1

    assert not vanished_slices(annotated, resample_classes(annotated, (8, 8, 24)))
    assert vanished_slices(annotated, resample_classes(annotated, (8, 8, 4))) == [
        (2, 5)
    ]


@pytest.mark.parametrize("slices", [4, 6, 12])
@pytest.mark.parametrize("index", range(12))
def test_a_lone_annotated_slice_vanishes_only_if_it_is_reported(
    slices: int, index: int
) -> None:
    """Three slices become one: the middle one decides. Two become one: either does."""
    annotated = np.full((8, 8, 12), -1, dtype=np.int16)
    annotated[:, :, index] = 1
    prepared = resample_classes(annotated, (8, 8, slices))

    lost = vanished_slices(annotated, prepared)
    assert bool(lost) == (slices == 4 and index % 3 != 1) == (not (prepared == 1).any())


def test_dense_annotation_loses_nothing_by_coarser_slices() -> None:
    annotated = np.zeros((8, 8, 12), dtype=np.int16)

    assert not vanished_slices(annotated, resample_classes(annotated, (8, 8, 5)))


@pytest.mark.parametrize("how", [NONE, ZSCORE, CT])
@pytest.mark.parametrize("kind", ["box", "voxels", None])
def test_a_channel_that_an_image_lacks_is_zero_and_changes_no_other(
    how: Normalization, kind: str | None
) -> None:
    """Whole and slice by slice; the other channel is as in an image without it."""
    image = np.full((1, 10, 9, 8), -7, np.float32)
    image[0, 2:8, 1:8, 1:7] = smooth((6, 7, 6))
    grid = Grid.from_spacing((10, 9, 8), (1.0, 1.0, 2.0), "mm")
    both = np.concatenate([image, np.full_like(image, np.nan)])
    background = (-7.0, -1000.0)
    plans = [
        plan((1.3, 1.0, 1.0), *kinds).model_copy(
            update={
                "region": kind
                and Region(kind=kind, background=background[: len(kinds)])
            }
        )
        for kinds in ((how,), (how, CT))
    ]

    alone, _ = prepare_image(Image(image, grid), plans[0])
    found, _ = prepare_image(Image(both, grid), plans[1])
    parts = list(prepared_parts(ImageStream.of(Image(both, grid)), plans[1]))

    assert (found[0] == alone[0]).all()
    assert not found[1].any()
    in_slices = np.concatenate(parts, axis=1)
    assert in_slices.shape[0] == 2
    assert not in_slices[1].any()
    assert np.abs(np.sort(in_slices[0], None) - np.sort(alone[0], None)).max() < 1e-4


def picture(*channels: np.ndarray) -> Image:
    array = np.stack(channels).astype(np.float32)[..., np.newaxis]
    return Image(array, Grid.from_spacing(array.shape[1:], (1.0, 1.0, 1.0), "mm"))


def cells(seed: int = 0) -> np.ndarray:
    """Bright cells on a dark field, with a hot pixel; whole numbers."""
    rng = np.random.default_rng(seed)
    array = rng.normal(20, 3, (60, 50)).round()
    array[10:25, 8:30] += 90
    array[3, 4] = 4000
    return array


def normalized(image: Image, how: Plan) -> np.ndarray:
    """An image as prepare_image gives it, which must be what prepared_parts gives."""
    whole, _ = prepare_image(image, how)
    parts = np.concatenate(list(prepared_parts(ImageStream.of(image), how)), axis=1)
    np.testing.assert_array_equal(parts.transpose(0, 2, 3, 1), whole)
    return whole[..., 0]


FLAT = plan((1.0, 1.0, 1.0), PERCENTILE)
TURNED = FLAT.model_copy(update={"polarity": "light_on_dark"})


def test_percentiles_are_mapped_as_csbdeep_maps_them() -> None:
    """CSBDeep's normalize: (x - mi) / (ma - mi) by numpy.percentile, not clipped."""
    array = cells()
    low, high = np.percentile(array, (1, 99.8))

    found = normalized(picture(array), FLAT)

    np.testing.assert_allclose(0.25 * found[0], (array - low) / (high - low), atol=1e-4)


def test_an_image_dark_on_light_is_inverted_before_it_is_normalized() -> None:
    light = picture(5000 - cells())

    found = normalized(light, TURNED)

    np.testing.assert_allclose(found, normalized(picture(cells()), FLAT), atol=1e-3)
    assert (
        normalized(picture(cells()), TURNED) == normalized(picture(cells()), FLAT)
    ).all()
    assert (normalized(light, FLAT) != found).any()


def test_channels_are_inverted_together_by_their_mean() -> None:
    """Two of three channels are light, and the third, constant, does not count."""
    two = plan((1.0, 1.0, 1.0), *[PERCENTILE] * 4)
    two = two.model_copy(update={"polarity": "light_on_dark"})
    constant = np.full((60, 50), 7.0)

    found = normalized(picture(5000 - cells(), cells(1), -cells(2), constant), two)

    assert (found[0, 10:25, 8:30] > found[0, :5].max(axis=0).min()).all()
    assert found[1, 10:25, 8:30].max() < 0.5
    assert (found[3] == 0).all()


@pytest.mark.parametrize("polarity", [FLAT, TURNED])
def test_constant_and_almost_constant_images_are_normalized(polarity: Plan) -> None:
    """Where the percentiles are equal the extremes are taken: one spot stays one."""
    spot = np.zeros((60, 50))
    spot[30, 20] = 9

    assert (normalized(picture(np.full((60, 50), 3.0)), polarity) == 0).all()
    assert normalized(picture(spot), polarity).max() == 4
    assert normalized(picture(spot), polarity).min() == 0
    dark = normalized(picture(9 - spot), polarity)[0, 30, 20]
    assert dark == (4 if polarity is TURNED else 0)


def test_percentiles_stand_beside_z_scores_and_missing_channels() -> None:
    three = plan((1.0, 1.0, 1.0), ZSCORE, PERCENTILE, PERCENTILE)
    region = Region(kind="box", background=(0.0, 0.0, 0.0))
    three = three.model_copy(update={"region": region, "polarity": "light_on_dark"})
    missing = np.full((60, 50), np.nan)

    found = normalized(picture(cells(1), cells(), missing), three)

    assert abs(found[0].mean()) < 1e-5
    np.testing.assert_allclose(found[0].std(), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[1], normalized(picture(cells()), FLAT)[0])
    assert (found[2] == 0).all()


def test_stained_tissue_is_told_from_fluorescence() -> None:
    """All 164 images of BBBC038 by the column stain; RGBA, whose alpha is constant."""
    if "SEGPIPE_REAL_DATA" not in os.environ:
        pytest.skip("SEGPIPE_REAL_DATA is not set; 2d_dsb2018 lies there")
    folder = Path(os.environ["SEGPIPE_REAL_DATA"]) / "2d_dsb2018"
    with (folder / "index.csv").open(newline="") as file:
        stains = {row["id"]: row["stain"] for row in csv.DictReader(file)}
    four = plan((1.0, 1.0, 1.0), *[PERCENTILE] * 4)
    four = four.model_copy(update={"polarity": "light_on_dark"})

    light = {
        name
        for name in stains
        for scale in [measure(folder / "images" / f"{name}.png", four)]
        if scale < 0
    }

    assert light == {n for n, stain in stains.items() if stain == "brightfield/H&E"}
    assert (len(light), len(stains)) == (12, 164)


def measure(path: Path, how: Plan) -> float:
    """What the first channel is divided by: negative if the image is inverted."""
    moments = measure_image(ImageStream.of(read_image(path)), how)
    assert moments is not None
    return moments[0][1]
