"""Patches are valid for their networks, cover the cases and fit the memory."""

from typing import Literal

import pytest
import torch

from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.planning.patches import plan_patch
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import DatasetProfile, PatchPlan


def spec(name: str, *, padding: str = "same", base: int = 8) -> NetworkSpec:
    return NetworkSpec.model_validate(
        {
            "name": name,
            "in_channels": 1,
            "out_channels": 2,
            "base_channels": base,
            "padding": padding,
        }
    )


def choose(
    network: NetworkSpec,
    *,
    shape: tuple[int, int, int] = (100, 90, 40),
    largest: tuple[int, int, int] = (120, 90, 41),
    memory_gb: float = 4.0,
    patch_size: Literal["auto", "full"] | tuple[int, int, int] = "auto",
    batch_size: Literal["auto"] | int = "auto",
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> PatchPlan:
    return plan_patch(
        network,
        profile=DatasetProfile(
            cases=1,
            median_shape=shape,
            median_prepared_shape=shape,
            largest_prepared_shape=largest,
            spacings=(),
            intensities=(),
            class_frequencies=(),
        ),
        spacing=spacing,
        slice_axis=2 if network.dimensions == 2 else None,
        patch_size=patch_size,
        batch_size=batch_size,
        memory_gb=memory_gb,
        largest_batch=8,
    )


@pytest.mark.parametrize(
    ("name", "stride"), [("unet2d", 16), ("unet3d", 8), ("vnet", 16)]
)
def test_a_patch_is_valid_for_its_network_and_covers_the_case(
    name: str, stride: int
) -> None:
    patch = choose(spec(name), memory_gb=100.0)

    for size, needed in zip(patch.patch_size, (100, 90, 40), strict=True):
        if size != 1:
            assert size % stride == 0
            assert needed <= size < needed + stride


def test_a_2d_network_sees_one_slice() -> None:
    assert choose(spec("unet2d")).patch_size[2] == 1


@pytest.mark.parametrize("memory_gb", [0.2, 0.5, 2.0])
def test_less_memory_gives_a_smaller_patch_that_fits(memory_gb: float) -> None:
    patch = choose(spec("unet3d"), memory_gb=memory_gb)

    assert patch.memory_gb <= memory_gb
    assert patch.batch_size >= 2
    larger = choose(spec("unet3d"), memory_gb=2 * memory_gb)
    size, more = (
        p.patch_size[0] * p.patch_size[1] * p.patch_size[2] for p in (patch, larger)
    )
    assert size <= more


def test_a_fixed_patch_is_kept_and_a_wrong_one_refused() -> None:
    assert choose(spec("unet3d"), patch_size=(64, 48, 40)).patch_size == (64, 48, 40)
    with pytest.raises(DataError, match=r"8 m \+ 0.*found 50; the next is 56"):
        choose(spec("unet3d"), patch_size=(64, 50, 40))
    with pytest.raises(DataError, match="expected 1 along the slice axis 2"):
        choose(spec("unet2d"), patch_size=(64, 64, 16))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("name", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize("patch_size", ["auto", "full"])
def test_the_patch_of_the_smallest_cases_trains_and_predicts(
    name: str, padding: str, patch_size: Literal["auto", "full"]
) -> None:
    """The network computes it for real; of 8 x 8 x 8 little is left at its bottom."""
    small = spec(name, padding=padding, base=1)
    patch = choose(small, shape=(8, 8, 8), largest=(8, 8, 8), patch_size=patch_size)

    network = build_network(small)
    image = torch.rand(1, 1, *patch.patch_size)
    for mode in (network.train(), network.eval()):
        with torch.no_grad():
            assert apply_network(mode, image, patch.slice_axis).isfinite().all()


def test_a_fixed_patch_with_one_voxel_at_the_deepest_level_names_one_that_works() -> (
    None
):
    with pytest.raises(DataError, match=r"\[8, 8, 8\]; .* works is \[16, 8, 8\]"):
        choose(spec("unet3d"), patch_size=(8, 8, 8))

    for fits in ((16, 8, 8), (8, 8, 16)):
        assert choose(spec("unet3d"), patch_size=fits).patch_size == fits
    assert choose(spec("vnet"), patch_size=(16, 16, 16)).patch_size == (16, 16, 16)


def test_the_smallest_cases_need_room_for_their_patch() -> None:
    with pytest.raises(DataError, match=r"plan\.memory_gb.*lower base_channels"):
        choose(spec("unet3d", base=64), shape=(8, 8, 16), memory_gb=0.01)


def test_a_fixed_batch_is_kept() -> None:
    assert choose(spec("vnet"), batch_size=3).batch_size == 3


def test_a_valid_network_gets_room_for_its_margin() -> None:
    patch = choose(spec("unet2d", padding="valid"), memory_gb=100.0)

    assert [(n - 12) % 16 for n in patch.patch_size[:2]] == [0, 0]
    assert patch.patch_size[0] - 184 >= 100


def test_a_budget_below_the_smallest_patch_is_refused_with_the_mend() -> None:
    with pytest.raises(DataError, match=r"plan\.memory_gb.*lower base_channels"):
        choose(spec("vnet", base=32), memory_gb=0.1)


def test_full_images_are_covered_whatever_the_memory() -> None:
    patch = choose(spec("unet3d"), patch_size="full", memory_gb=0.1, batch_size=1)

    assert patch.patch_size == (120, 96, 48)
    assert choose(spec("unet2d"), patch_size="full").patch_size == (128, 96, 1)


@pytest.mark.parametrize("patch_size", ["auto", "full"])
def test_a_network_that_follows_the_patch_gets_strides_for_each_axis(
    patch_size: Literal["auto", "full"],
) -> None:
    """Slices of 3 mm in a plane of 1 mm: 20 of them are pooled at 4 mm, twice."""
    patch = choose(
        spec("resenc3d", base=2),
        shape=(100, 90, 18),
        largest=(100, 90, 18),
        spacing=(1.0, 1.0, 3.0),
        patch_size=patch_size,
    )

    assert patch.topology is not None
    assert patch.topology.total_stride == (16, 16, 4)
    assert patch.topology.kernels[0] == (3, 3, 1)
    assert patch.patch_size == (112, 96, 20)
    shaped = spec("resenc3d", base=2).model_copy(update={"topology": patch.topology})
    image = torch.rand(1, 1, *patch.patch_size, device="meta")
    with torch.device("meta"):
        logits = apply_network(build_network(shaped), image, None)
    assert logits.shape[2:] == patch.patch_size


def test_the_plane_of_a_2d_network_decides_its_strides() -> None:
    patch = choose(spec("resenc2d", base=2), spacing=(1.0, 1.0, 3.0))

    assert patch.topology is not None
    assert patch.topology.total_stride == (16, 16)
    assert patch.patch_size == (112, 96, 1)


def test_less_memory_gives_fewer_strides_too() -> None:
    small = choose(spec("resenc3d", base=8), memory_gb=0.1)

    assert small.memory_gb <= 0.1
    assert small.topology is not None
    for size, stride in zip(small.patch_size, small.topology.total_stride, strict=True):
        assert size % stride == 0


def test_a_patch_that_its_own_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(DataError, match=r"4 m \+ 0.*found 18; the next is 20"):
        choose(spec("resenc3d"), patch_size=(18, 16, 16))
