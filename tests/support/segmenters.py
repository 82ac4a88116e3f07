"""Segmenters that tests write to disk: small, with random weights."""

from pathlib import Path

import torch

from segpipe.networks.build import NetworkSpec, build_network
from segpipe.segmenter.plan import DatasetProfile, Normalization, Plan
from segpipe.segmenter.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec

NONE = Normalization(kind="none", low=0, high=0, mean=0, standard_deviation=0)
ZSCORE = Normalization(kind="zscore", low=0, high=0, mean=0, standard_deviation=0)


def make_plan(
    *,
    channels: tuple[str, ...] = ("MR",),
    dimensions: int = 3,
    unit: str = "mm",
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shape: tuple[int, int, int] = (16, 18, 20),
    normalization: Normalization = ZSCORE,
) -> Plan:
    return Plan(
        format_version=1,
        dimensions=dimensions,
        unit=unit,
        spacing=spacing,
        channels=channels,
        normalization=(normalization,) * len(channels),
        structures=("background", "liver", "left kidney"),
        values=(0, 3, 7),
        ignore=None,
        profile=DatasetProfile(
            cases=4,
            median_shape=shape,
            median_prepared_shape=shape,
            largest_prepared_shape=shape,
            spacings=tuple((step, step, step) for step in spacing),
            intensities=((-5.0, 0.0, 5.0),) * len(channels),
            class_frequencies=(0.8, 0.1, 0.1),
        ),
    )


def save_segmenter(
    folder: Path,
    plan: Plan,
    *,
    network: str = "vnet",
    patch_size: tuple[int, int, int] = (16, 16, 16),
    seed: int = 0,
    postprocessing: tuple[StructureRule, ...] = (),
) -> Path:
    """Write it and give its folder back."""
    torch.manual_seed(seed)
    spec = NetworkSpec(
        name=network,
        in_channels=len(plan.channels),
        out_channels=len(plan.values),
        base_channels=2,
        padding="same",
    )
    made = SegmenterSpec(
        format_version=1,
        model="m",
        network=spec,
        plan=plan,
        patch_size=patch_size,
        slice_axis=2 if network == "unet2d" else None,
        temperatures=(1.0,),
        postprocessing=postprocessing,
    )
    Segmenter(made, (build_network(spec).eval(),)).save(folder)
    return folder
