"""Known plans of nnU-Net, and its rules."""

import pytest

from segpipe.networks.topology import choose_topology


def test_a_cube_of_128_has_the_six_stages_of_the_papers_medium_preset() -> None:
    found = choose_topology((128, 128, 128), (1.0, 1.0, 1.0))

    assert found.strides == ((1, 1, 1), *[(2, 2, 2)] * 5)
    assert found.kernels == ((3, 3, 3),) * 6
    assert found.blocks == (1, 3, 4, 6, 6, 6)
    assert found.total_stride == (32, 32, 32)


def test_thick_slices_are_pooled_late_and_convolved_in_their_plane_at_first() -> None:
    """By hand: 4 mm against 0.7, 1.4, 2.8 mm; sizes 20, 10, 5 and 320 ... 10, 5."""
    found = choose_topology((20, 320, 256), (4.0, 0.7, 0.7))

    flat, whole = (1, 2, 2), (2, 2, 2)
    assert found.strides == ((1, 1, 1), flat, flat, whole, whole, flat, flat)
    assert found.kernels == (*[(1, 3, 3)] * 2, *[(3, 3, 3)] * 5)
    assert found.total_stride == (4, 64, 64)


def test_nnunets_plan_of_the_hippocampus_has_four_stages() -> None:
    """Its 3d_fullres patch is 40 x 56 x 40, pooled three times along each axis."""
    assert choose_topology((40, 56, 40), (1.0, 1.0, 1.0)).total_stride == (8, 8, 8)


def test_a_picture_of_512_is_pooled_seven_times() -> None:
    found = choose_topology((512, 512), (1.0, 1.0))

    assert found.total_stride == (128, 128)
    assert found.blocks == (1, 3, 4, 6, 6, 6, 6, 6)


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (8, 1), (11, 1), (12, 2)])
def test_an_axis_that_is_left_alone_needs_twelve_voxels(size: int, stride: int) -> None:
    assert choose_topology((size, 4, 4), (1.0, 1.0, 1.0)).total_stride == (stride, 1, 1)


@pytest.mark.parametrize("size", range(4, 90))
def test_a_size_rounded_up_to_its_stride_keeps_its_topology(size: int) -> None:
    found = choose_topology((size, 24, 9), (1.0, 0.6, 2.5))

    rounded = [
        -(-voxels // stride) * stride
        for voxels, stride in zip((size, 24, 9), found.total_stride, strict=True)
    ]
    assert choose_topology(rounded, (1.0, 0.6, 2.5)) == found
