"""Normalization against CSBDeep, on real pictures and by arithmetic."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.raster import read_image
from segpipe.images.grid import Grid
from segpipe.images.region import Region
from segpipe.images.volume import Image, ImageStream
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.preprocessing.images import prepare_image, prepared_parts
from segpipe.segmenter.preprocessing.normalization import measure_image, normalize
from tests.support.preparing import CT, PERCENTILE, plan, smooth
from tests.support.segmenters import ZSCORE


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
