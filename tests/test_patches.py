"""Patches fit the network, the cases and the memory."""

from typing import Literal

import pytest

from segpipe.errors import DataError
from segpipe.network import NetworkSpec
from segpipe.patches import plan_patch
from segpipe.plan import Fingerprint, PatchPlan


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
    memory_gb: float = 4.0,
    patch_size: Literal["auto", "full"] | tuple[int, int, int] = "auto",
    batch_size: Literal["auto"] | int = "auto",
) -> PatchPlan:
    return plan_patch(
        network,
        fingerprint=Fingerprint(
            cases=1,
            median_shape=shape,
            median_prepared_shape=shape,
            largest_prepared_shape=(120, 90, 41),
            spacings=(),
            intensities=(),
            class_frequencies=(),
        ),
        slice_axis=2 if network.name == "unet2d" else None,
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
