"""Time and labels of inference with and without what is empty, on real data.

    SEGPIPE_REAL_DATA=FOLDER python -m benchmarks.emptiness

For each set a small 3D U-Net learns on the case itself for some steps: not to be good,
but to tell its structures from air as a trained network does. Then the case is
segmented in memory, with everything computed and with the empty left out, in turn, at
several overlaps. Seconds are of the CPU, which other work changes least.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.segmenting import build_plan
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import Grid
from segpipe.images.region import (
    Region,
    background_of,
    farthest_voxel,
    held_voxels,
)
from segpipe.images.volume import Image, ImageStream
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.planning.emptiness import FARTHEST, choose_emptiness
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization, Plan
from segpipe.segmenter.preprocessing.images import case_moments, prepare_image
from segpipe.segmenter.preprocessing.labels import resample_classes
from segpipe.segmenter.preprocessing.normalization import prepared_floors
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.settings import SkipEmpty
from segpipe.segmenter.spec import SegmenterSpec

SETS = {
    "MS lesions": (
        (
            "3d_ms_lesion/images/patient07_FLAIR.nii.gz",
            "3d_ms_lesion/images/patient07_T1.nii.gz",
        ),
        "3d_ms_lesion/labels/patient07_GOLD_STANDARD.nii.gz",
        "zscore",
        1.0,
    ),
    "spleen CT": (
        ("3d_msd_spleen_crop/images/sub-spleen2_ct.nii.gz",),
        "3d_msd_spleen_crop/labels/sub-spleen2_ct_seg-manual.nii.gz",
        "ct",
        None,
    ),
    "whole-body CT": (
        ("3d_totalseg_ct/images/example_ct_sm.nii.gz",),
        "3d_totalseg_ct/labels/example_seg.nii.gz",
        "ct",
        None,
    ),
}
Run = tuple[np.ndarray, float, int]  # labels, CPU seconds, tiles
AIR = 40  # voxels of air on each side of a CT that was cropped to the body


def read_set(data: Path, name: str, *, air: int) -> tuple[Image, np.ndarray, str]:
    """Read a case; with air, both axes of its planes are padded with -1000 HU."""
    images, label, kind, _ = SETS[name]
    read = [read_image(data / file) for file in images]
    array = np.concatenate([one.array for one in read])
    values = read_label(data / label).array
    classes = np.unique(values, return_inverse=True)[1].reshape(values.shape)
    if kind == "zscore":  # the brain is a structure, too: it ends where nothing is
        classes = np.where(classes > 0, 2, (array != 0).any(0))
    pads = ((air, air), (air, air), (0, 0))
    if air:
        rng = np.random.default_rng(0)
        outside = np.pad(np.zeros(array.shape[1:], bool), pads, constant_values=True)
        array = np.pad(array, ((0, 0), *pads))
        array[:, outside] = rng.normal(-1000, 20, (len(array), outside.sum()))
        classes = np.pad(classes, pads)
    spacing = read[0].grid.spacing
    return (
        Image(array, Grid.from_spacing(array.shape[1:], spacing, "mm")),
        classes,
        kind,
    )


def plan_of(image: Image, classes: np.ndarray, kind: str) -> Plan:
    """The plan as the stage makes it of this one case."""
    inside = image.array[:, classes > 0].astype(np.float64)
    hows = [Normalization(kind="zscore", low=0, high=0, mean=0, standard_deviation=0)]
    hows *= len(image.array)
    background = background_of(image.array)
    region = Region(kind="voxels", background=background)
    floors = background
    if kind == "ct":
        low, high = np.percentile(inside, (0.5, 99.5)).tolist()
        how = Normalization(
            kind="ct",
            low=low,
            high=high,
            mean=float(inside.mean()),
            standard_deviation=float(inside.std()),
        )
        hows, region, floors = [how], None, (low,)
    count = int(classes.max()) + 1
    plan = build_plan(count).model_copy(
        update={
            "spacing": image.grid.spacing,
            "channels": tuple(f"c{n}" for n in range(len(image.array))),
            "normalization": tuple(hows),
            "region": region,
        }
    )
    moments = case_moments(ImageStream.of(image), plan)
    array, grid = prepare_image(image, plan, moments=moments)
    held = held_voxels(array, prepared_floors(floors, plan, moments))
    drawn = resample_classes(classes, grid.shape) > 0
    found = choose_emptiness(floors, [farthest_voxel(drawn, held, limit=FARTHEST)])
    print(f"{100 * (1 - held.mean()):.0f} % of the voxels are empty, {found}")
    return plan.model_copy(update={"emptiness": found})


def learn(
    image: Image,
    classes: np.ndarray,
    plan: Plan,
    patch: tuple[int, int, int],
    steps: int,
    base: int,
) -> Segmenter:
    """Learn a 3D U-Net on patches of the case, half of them on a structure."""
    torch.manual_seed(0)
    array, _ = prepare_image(image, plan)
    spec = NetworkSpec(
        name="unet3d",
        in_channels=len(array),
        out_channels=len(plan.values),
        base_channels=base,
        padding="same",
    )
    network = build_network(spec).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    rng = np.random.default_rng(0)
    places = np.argwhere(classes > 0)
    ends = np.array(array.shape[1:]) - patch
    for step in range(steps):
        wanted = rng.integers(0, ends + 1)
        if step % 2:
            wanted = places[rng.integers(len(places))] - np.array(patch) // 2
        at = np.clip(wanted, 0, ends)
        box = tuple(slice(a, a + n) for a, n in zip(at, patch, strict=True))
        x = torch.from_numpy(array[:, *box])[None]
        y = torch.from_numpy(classes[box].astype(np.int64))[None]
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x).float()
        shares = logits.softmax(1)
        truth = torch.nn.functional.one_hot(y, len(plan.values)).movedim(-1, 1)
        both = (shares * truth).sum((0, 2, 3, 4))[1:]
        overlap = (2 * both + 1) / ((shares + truth).sum((0, 2, 3, 4))[1:] + 1)
        loss = torch.nn.functional.cross_entropy(logits, y) + 1 - overlap.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    made = SegmenterSpec(
        format_version=1,
        model="benchmark",
        network=spec,
        plan=plan,
        patch_size=patch,
        slice_axis=None,
        temperatures=(1.0,),
    )
    return Segmenter(made, (network.eval(),))


def run(made: Segmenter, image: Image, how: Inference) -> Run:
    """Labels, CPU seconds, and tiles that the network saw."""
    seen: list[int] = []

    def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(given[0]))

    hook = made.networks[0].register_forward_pre_hook(look)
    began = time.process_time()
    labels = made.segment(image, how).array
    spent = time.process_time() - began
    hook.remove()
    return labels, spent, sum(seen)


def dices(a: np.ndarray, b: np.ndarray) -> Iterator[float]:
    """Dice of each structure of the first."""
    for value in range(1, int(a.max()) + 1):
        if (a == value).any():
            yield dice(a == value, b == value)


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emptiness")
    parser.add_argument("--steps", type=int, default=120, help="of the learning")
    parser.add_argument("--base", type=int, default=8, help="channels of the network")
    parser.add_argument("--rounds", type=int, default=2, help="of the timing")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--overlaps", nargs="+", type=float, default=(0.5, 0.25, 0.0))
    asked = parser.parse_args()
    data = Path(os.environ["SEGPIPE_REAL_DATA"])
    torch.set_num_threads(1)
    compute = Compute(torch.device("cpu"), "bf16", 1)
    for name in asked.sets:
        for air in (0, AIR) if SETS[name][2] == "ct" else (0,):
            image, classes, kind = read_set(data, name, air=air)
            print(f"\n{name}, {image.array.shape}, air added: {air}", flush=True)
            plan = plan_of(image, classes, kind)
            patch = tuple(min(48, side // 8 * 8) for side in image.array.shape[1:])
            made = learn(image, classes, plan, patch, asked.steps, asked.base)
            table(made, image, classes, asked, compute)


def table(
    made: Segmenter,
    image: Image,
    classes: np.ndarray,
    asked: argparse.Namespace,
    compute: Compute,
) -> None:
    """Print a row for each overlap, with all computed and with the empty left out."""
    print(
        f"{'overlap':>8}{'empty':>8}{'tiles':>7}{'CPU s':>8}{'ratio':>7}"
        f"{'Dice':>8}{'differing':>11}{'Dice with all':>15}"
    )
    for overlap in asked.overlaps:
        rows: dict[SkipEmpty, list[Run]] = {"never": [], "auto": []}
        for _ in range(asked.rounds):
            for skip, row in rows.items():
                how = Inference(overlap, "gaussian", 0.0, False, compute, skip)
                row.append(run(made, image, how))
        whole = rows["never"][0][0]
        for skip, found in rows.items():
            labels, seconds = found[0][0], [one[1] for one in found]
            pairs = zip(found, rows["never"], strict=True)
            ratio = median(b[1] / a[1] for a, b in pairs)
            print(
                f"{overlap:8g}{skip:>8}{found[0][2]:7d}{min(seconds):8.2f}{ratio:7.2f}"
                f"{np.mean(list(dices(classes, labels))):8.4f}"
                f"{(labels != whole).sum():11d}"
                f"{np.mean(list(dices(whole, labels))):15.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
