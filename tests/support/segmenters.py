"""Plans and segmenters: small, with random weights."""

from pathlib import Path
from typing import Any

import torch

from segpipe.images.grid import Triple
from segpipe.images.region import Emptiness, Region
from segpipe.images.values import Unions
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.segmenter.plan import DatasetProfile, Normalization, Plan
from segpipe.segmenter.rules.instances import Target
from segpipe.segmenter.rules.outputs import Outputs
from segpipe.segmenter.rules.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    CoarseSpec,
    SegmenterSpec,
    coarse_plan,
    coarse_spec,
)

NONE = Normalization(kind="none", low=0, high=0, mean=0, standard_deviation=0)
ZSCORE = Normalization(kind="zscore", low=0, high=0, mean=0, standard_deviation=0)

TUMOUR: dict[str, Any] = {  # structures that overlap; values in any order
    "structures": ("background", "whole tumour", "core", "enhancing"),
    "values": (0, 1, 2, 4),
    "unions": Unions(values=((1, 4, 2), (4, 2), (4,)), order=(1, 2, 4)),
}


def make_plan(
    *,
    channels: tuple[str, ...] = ("MR",),
    dimensions: int = 3,
    unit: str = "mm",
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shape: Triple = (16, 18, 20),
    normalization: tuple[Normalization, ...] = (ZSCORE,),
    structures: tuple[str, ...] = ("background", "liver", "left kidney"),
    values: tuple[int, ...] = (0, 3, 7),
    ignore: int | None = None,
    region: Region | None = None,
    unions: Unions | None = None,
    emptiness: Emptiness | None = None,
) -> Plan:
    """A plan for training cases of one shape; one normalization serves all channels."""
    if len(normalization) == 1:
        normalization *= len(channels)
    return Plan(
        format_version=1,
        dimensions=dimensions,
        unit=unit,
        spacing=spacing,
        channels=channels,
        normalization=normalization,
        structures=structures,
        values=values,
        ignore=ignore,
        region=region,
        unions=unions,
        emptiness=emptiness,
        profile=DatasetProfile(
            cases=4,
            median_shape=shape,
            median_prepared_shape=shape,
            largest_prepared_shape=shape,
            spacings=tuple((step, step, step) for step in spacing),
            intensities=((-5.0, 0.0, 5.0),) * len(channels),
            class_frequencies=(0.8, *[0.2 / (len(values) - 1)] * (len(values) - 1)),
        ),
    )


def make_segmenter(
    plan: Plan,
    *,
    network: str = "vnet",
    padding: str = "same",
    patch_size: Triple = (16, 16, 16),
    seeds: tuple[int, ...] = (0,),
    temperatures: tuple[float, ...] | None = None,
    postprocessing: tuple[StructureRule, ...] = (),
    target: Target = "labels",
) -> Segmenter:
    """A segmenter with one network a seed; a patch of one slice sets the slice axis."""
    spec = NetworkSpec(
        name=network,
        in_channels=len(plan.channels),
        out_channels=Outputs(plan.legend, target).channels,
        base_channels=2,
        padding=padding,
    )
    slice_axis = patch_size.index(1) if 1 in patch_size else None
    spec = spec.for_patch(patch_size, plan.spacing, slice_axis)
    networks = []
    for seed in seeds:
        torch.manual_seed(seed)
        networks.append(build_network(spec).eval())
    made = SegmenterSpec(
        format_version=1,
        model="m",
        network=spec,
        plan=plan,
        patch_size=patch_size,
        slice_axis=patch_size.index(1) if 1 in patch_size else None,
        temperatures=temperatures or (1.0,) * len(seeds),
        postprocessing=postprocessing,
        target=target,
    )
    return Segmenter(made, tuple(networks))


def with_coarse(
    made: Segmenter, *, factor: Triple, threshold: float, reach: int = 0
) -> Segmenter:
    """The segmenter with coarse networks of random weights, one for each fold."""
    plan = coarse_plan(made.spec.plan, factor)
    first = make_segmenter(
        plan, network="unet3d", seeds=tuple(range(7, 7 + len(made.networks)))
    )
    how = CoarseSpec(
        network=first.spec.network,
        factor=factor,
        patch_size=first.spec.patch_size,
        thresholds=(threshold,) * len(made.networks),
        reach=reach,
        missed=0,
        looked_at=1,
    )
    spec = made.spec.model_copy(update={"coarse": how})
    finder = Segmenter(coarse_spec(spec, how), first.networks)
    return Segmenter(spec, made.networks, finder)


def segmenter_of_noise(
    *, network="unet3d", patch_size=(16, 16, 16), seed=0, values=(0, 7)
) -> Segmenter:
    """One network with random weights for images of 16 voxels a side, as they are."""
    plan = make_plan(
        shape=(16, 16, 16),
        normalization=(NONE,),
        structures=tuple(f"s{value}" for value in values),
        values=values,
    )
    return make_segmenter(plan, network=network, patch_size=patch_size, seeds=(seed,))


def save_segmenter(
    folder: Path,
    plan: Plan,
    *,
    network: str = "vnet",
    patch_size: Triple = (16, 16, 16),
    seed: int = 0,
    postprocessing: tuple[StructureRule, ...] = (),
) -> Path:
    """Write a segmenter of one fold and return its folder."""
    made = make_segmenter(
        plan,
        network=network,
        patch_size=patch_size,
        seeds=(seed,),
        postprocessing=postprocessing,
    )
    made.save(folder)
    return folder
