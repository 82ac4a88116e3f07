"""Resampling against another library and analytic images."""

import numpy as np
import pytest
import SimpleITK

from segpipe.segmenter.preprocessing.resampling import resample_image
from tests.support.preparing import smooth


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
