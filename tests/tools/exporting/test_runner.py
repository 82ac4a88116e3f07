"""The runner, piece by piece, against segpipe; test_export.py compares the whole."""

import itertools
import sys

import nibabel as nib
import numpy as np
import pytest

from segpipe.images.grid import Grid, Triple
from segpipe.images.region import Region, measure_region
from segpipe.images.volume import Image, ImageStream, mirrored_window
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.preprocessing.normalization import measure_image, normalize
from segpipe.segmenter.preprocessing.resampling import resample_image
from segpipe.segmenter.tiles.layout import blend_weights, tile_starts
from tests.support.segmenters import NONE, make_plan

pytest.importorskip("onnxruntime")
runner = pytest.importorskip("segpipe.tools.exporting.runner")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [3, 7, 8, 13, 29])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_resamples_like_the_preprocessing(size: int, axis: int) -> None:
    array = RNG.random((1, 8, 8, 8)).astype(np.float32)
    shape = tuple(size if n == axis else 8 for n in range(3))

    result = runner.resample(array, 1 + axis, size, average=size < 8)

    np.testing.assert_allclose(result, resample_image(array, shape), atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 8, 1), (9, 1, 8), (9, 8, 2)])
def test_it_resamples_to_the_grid_of_the_preprocessing(
    shape: Triple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single slice stays one, however thick it is."""
    shapes = []

    def watched(image: np.ndarray, *_: object) -> np.ndarray:
        shapes.append(image.shape[1:])
        return image

    monkeypatch.setattr(runner, "probabilities", watched)
    grid = Grid.from_spacing(shape, (2.0, 2.0, 5.0), "mm")
    array = RNG.random((1, *shape)).astype(np.float32)
    how = Normalization(kind="none", low=0, high=0, mean=0, standard_deviation=0)
    plan = {"spacing": (1.0,) * 3, "normalization": [how.model_dump()], "values": [0]}
    runner.segment(array, grid.affine, {"plan": plan}, [], 0.5)

    assert shapes == [grid.shape_at((1.0, 1.0, 1.0))]


@pytest.mark.parametrize("kind", ["zscore", "ct", "none"])
def test_it_normalizes_like_the_preprocessing(kind: str) -> None:
    how = Normalization(kind=kind, low=0.2, high=0.9, mean=0.5, standard_deviation=0.2)
    channel = RNG.random((5, 6, 7)).astype(np.float32)

    result = runner.normalize(
        channel.copy(), how.model_dump(), (channel.mean(), channel.std())
    )

    normalize(channel, how)
    np.testing.assert_allclose(result, channel, atol=1e-5)


@pytest.mark.parametrize("polarity", [None, "light_on_dark"])
@pytest.mark.parametrize("turn", [1, -1])
def test_it_takes_percentiles_like_the_preprocessing(polarity, turn: int) -> None:
    array = np.array([turn, turn, 1, 1])[:, None, None, None] * RNG.random((4, 9, 8, 7))
    array[2] = 5
    array = array.astype(np.float32) ** 3
    how = Normalization(
        kind="percentile", low=1, high=99.8, mean=0.5, standard_deviation=0.25
    )
    plan = make_plan(channels=tuple("abcd"), normalization=(how, how, how, NONE))
    plan = plan.model_copy(update={"polarity": polarity})

    found = runner.percentile_scales(array, plan.model_dump(mode="json"))

    grid = Grid.from_spacing((9, 8, 7), (1.0, 1.0, 1.0), "mm")
    expected = measure_image(ImageStream.of(Image(array, grid)), plan)
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-9)
    assert found[3] is None
    assert (found[0][1] < 0) == (polarity is not None and turn < 0)


@pytest.mark.parametrize("kind", ["box", "voxels"])
@pytest.mark.parametrize("empty", [False, True])
def test_it_takes_z_scores_over_the_same_voxels(kind: str, empty: bool) -> None:
    array = np.full((2, 9, 8, 20), -5, np.float32)
    if not empty:
        array[0, 2:6, 1:4, 3:17] = RNG.random((4, 3, 14))
        array[:, 3:5, 2, 6:9] = -5
    grid = Grid.from_spacing((9, 8, 20), (1.0, 1.0, 1.0), "mm")
    region = Region(kind=kind, background=(-5.0, -5.0))

    inside = runner.region(array, region.model_dump())

    result = [(one[inside].mean(), one[inside].std()) for one in array.astype(float)]
    expected = measure_region(ImageStream.of(Image(array, grid)), region)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert runner.region(array, None) is None


def test_it_tiles_and_blends_like_the_sliding_window() -> None:
    for length, window, overlap in itertools.product(
        (1, 5, 16, 37, 100), (1, 4, 16), (0.0, 0.3, 0.5, 0.9)
    ):
        expected = tile_starts(length, window, overlap)
        assert runner.tile_starts(length, window, overlap) == expected
    for size in (1, 4, 44, 128):
        np.testing.assert_allclose(
            runner.blend_weights(size), blend_weights(size, "gaussian"), rtol=1e-6
        )


def test_it_mirrors_like_the_volume() -> None:
    for length, start in itertools.product((1, 2, 9), (-30, -1, 0, 4)):
        array = RNG.random((length, 1, 1))

        result = array[runner.mirrored(start, 40, length)]

        expected = mirrored_window(array, (start, 0, 0), (40, 1, 1))
        np.testing.assert_array_equal(result, expected)


def test_it_finds_the_canonical_axes_like_the_grid() -> None:
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((-1, 1), repeat=3)
    ):
        affine = np.eye(4)
        affine[:3, :3] = np.diag(signs)[:, order] * (0.5, 1, 3) + 0.02
        expected = Grid((2, 3, 4), affine, "mm").to_canonical

        axes, flips = runner.canonical(affine)

        assert axes == expected.permutation
        assert flips == tuple(np.flatnonzero(expected.flips))


@pytest.mark.parametrize(
    ("array", "affine", "words"),
    [
        (np.zeros((4, 4, 4, 2)), np.eye(4), "2 or 3 axes"),
        (np.full((4, 4, 4), np.nan), np.eye(4), "finite"),
        (np.zeros((4, 4, 4)), None, "qform and sform code 0"),
    ],
)
def test_an_image_that_it_cannot_place_is_refused(
    tmp_path, array, affine, words
) -> None:
    path = str(tmp_path / "image.nii")
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)

    with pytest.raises(SystemExit, match=words):
        runner.read_image(path)


def test_channels_must_share_a_grid_and_be_all_there(tmp_path) -> None:
    array = np.zeros((4, 5, 1), np.float32)
    paths = [str(tmp_path / name) for name in ("a.nii", "b.nii", "text.nii")]
    nib.save(nib.Nifti1Image(array, np.eye(4)), paths[0])
    nib.save(nib.Nifti1Image(array, np.diag([1, 1, 2, 1])), paths[1])
    (tmp_path / "text.nii").write_text("no image")

    assert runner.read_channels(paths[:1], ["CT"])[0].shape == (1, 4, 5, 1)
    with pytest.raises(SystemExit, match="expected the grid"):
        runner.read_channels(paths[:2], ["CT", "MR"])
    with pytest.raises(SystemExit, match="expected the channels CT, MR, found 1"):
        runner.read_channels(paths[:1], ["CT", "MR"])
    with pytest.raises(SystemExit, match="expected a NIfTI file"):
        runner.read_channels(paths[2:], ["CT"])


def test_an_output_of_another_format_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "a.nii", "-o", "labels.png"])

    with pytest.raises(SystemExit):
        runner.main()

    assert "OUTPUT.nii" in capsys.readouterr().err
