"""The size of tiles depends on the memory, between the patch and the volume."""

import functools
import itertools

import pytest

from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.memory import forward_bytes
from segpipe.segmenter.tiles.tiling import LARGEST_BATCH, plan_tiling

SHAPE = (45, 110, 75)
BUDGETS = (1e-6, 0.02, 0.1, 0.4, 100.0)
NETWORKS = ["unet2d", "unet3d", "vnet"]


def spec(name: str, *, padding: str = "same", width: int = 4) -> NetworkSpec:
    return NetworkSpec(
        name=name, in_channels=1, out_channels=3, base_channels=width, padding=padding
    )


def patch_of(network: NetworkSpec) -> tuple[int, int, int]:
    """The smallest input whose output is at least 16 along each axis."""
    side = build_network(network).input_size(16)
    return (1 if network.dimensions == 2 else side, side, side)


@functools.cache
def tilings(network: NetworkSpec, shape=SHAPE):
    return tilings_at(BUDGETS, network, shape)


def tilings_at(budgets, network: NetworkSpec, shape):
    return [
        plan_tiling(
            network,
            patch_size=patch_of(network),
            slice_axis=0 if network.dimensions == 2 else None,
            shape=shape,
            overlap_fraction=0.5,
            blending="gaussian",
            memory_gb=memory_gb,
            on_cpu=False,
        )
        for memory_gb in budgets
    ]


def sizes(tiling) -> list[int]:
    """Input of a tile along each axis."""
    return [w + 2 * m for w, m in zip(tiling.window, tiling.margin, strict=True)]


CASES = [
    (name, padding)
    for name in NETWORKS
    for padding in (["same"] if name == "vnet" else ["same", "valid"])
]


@pytest.mark.parametrize(("name", "padding"), CASES)
def test_more_memory_never_makes_a_tile_smaller(name: str, padding: str) -> None:
    made = tilings(spec(name, padding=padding))

    for less, more in itertools.pairwise(made):
        assert all(a <= b for a, b in zip(less.window, more.window, strict=True))


@pytest.mark.parametrize(("name", "padding"), CASES)
def test_a_tile_lies_between_the_patch_and_what_the_volume_needs(
    name: str, padding: str
) -> None:
    """The volume needs the smallest valid size whose output covers it."""
    network = spec(name, padding=padding)
    built, patch = build_network(network), patch_of(network)

    made = tilings(network)
    last = made[-1]

    for tiling in made:
        for axis, size in enumerate(sizes(tiling)):
            within = axis == 0 and network.dimensions == 2
            assert tiling.margin[axis] == (0 if within else built.margin)
            if within:
                assert size == 1
                continue
            assert patch[axis] <= size
            assert size <= max(patch[axis], built.input_size(SHAPE[axis]))
            assert built.output_size(size) == tiling.window[axis]
        assert 1 <= tiling.batch_size <= LARGEST_BATCH
    assert sizes(made[0]) == list(patch)
    if name == "unet3d":
        assert all(sizes(tiling) == list(patch) for tiling in made)
        assert last.batch_size == LARGEST_BATCH
    else:
        grown = [axis for axis in range(3) if patch[axis] > 1]
        assert all(last.window[axis] >= SHAPE[axis] for axis in grown)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_arguments_give_the_same_tiles(name: str) -> None:
    (before,) = tilings_at([0.1], spec(name), SHAPE)
    forward_bytes.cache_clear()
    (after,) = tilings_at([0.1], spec(name), SHAPE)

    assert before == after


@pytest.mark.parametrize(("name", "padding"), CASES)
def test_a_volume_smaller_than_the_patch_gets_the_patch(
    name: str, padding: str
) -> None:
    network = spec(name, padding=padding)

    for tiling in tilings(network, shape=(3, 5, 2)):
        assert sizes(tiling) == list(patch_of(network))


@pytest.mark.parametrize(("name", "padding"), CASES)
def test_a_tile_beyond_the_patch_fits_the_budget(name: str, padding: str) -> None:
    network = spec(name, padding=padding)

    for memory_gb, tiling in zip(BUDGETS, tilings(network), strict=True):
        axis = 0 if network.dimensions == 2 else None
        needed = forward_bytes(network, tuple(sizes(tiling)), axis)
        if sizes(tiling) != list(patch_of(network)) or tiling.batch_size > 1:
            assert tiling.batch_size * needed <= memory_gb * 1e9
