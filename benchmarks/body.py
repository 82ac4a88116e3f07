"""A body CT of many structures: CPU seconds of ours and MONAI's, file to file.

    python -m benchmarks.body

The volume is a body of noise in air, the weights are random, and all compute in float32
on the same threads with tiles of the patch that overlap by half. Ours runs as torch
computes everything, without the air, and with OpenVINO without the air. They take turns
in each round; ratios are CPU seconds of MONAI over those of the row, round by round. A
last row runs in columns, for the memory that the rule names.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.segmenting import segment_monai, segment_ours
from benchmarks.segmenting import build_segmenter, draw_body
from benchmarks.timing import last_line, ratios
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.images.region import Emptiness
from segpipe.segmenter.compute import ComputeParams, build_compute
from segpipe.segmenter.inference.cutting import columns_of
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.segmenter import Segmenter

AIR = -1000.0
CT = Normalization(kind="ct", low=AIR, high=400, mean=0, standard_deviation=300)
OVERLAP = 0.5


def parse() -> argparse.Namespace:
    """Read the sizes, which can be those of a whole scan."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.body",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--shape", type=int, nargs=3, default=(128, 128, 64), help="of the volume")
    add("--classes", type=int, default=100, help="of the network")
    add("--base-channels", type=int, default=8, help="of the 3D U-Net")
    add("--patch", type=int, default=48, help="side of a tile")
    add("--memory-gb", type=float, default=0.4, help="of the row in columns")
    add("--threads", type=int, default=1, help="of each engine")
    add("--rounds", type=int, default=3, help="number of rounds")
    return parser.parse_args()


def build(asked: argparse.Namespace) -> Segmenter:
    """A segmenter with random weights, whose plan knows that air holds nothing."""
    made = build_segmenter(
        "unet3d",
        base_channels=asked.base_channels,
        classes=asked.classes,
        patch=(asked.patch,) * 3,
    )
    known = {"normalization": (CT,), "emptiness": Emptiness(floors=(AIR,), reach=2)}
    plan = made.spec.plan.model_copy(update=known)
    return replace(made, spec=made.spec.model_copy(update={"plan": plan}))


def rows(asked: argparse.Namespace) -> dict[str, Inference]:
    """How each row of ours runs, by name."""
    params = ComputeParams(
        device="cpu", precision="fp32", threads=asked.threads, workers=0, compile=False
    )
    plain = Inference(OVERLAP, "gaussian", 64.0, False, build_compute(params))
    quick = replace(plain.compute, engine="openvino")
    bare = replace(plain, skip_empty="auto")
    return {
        "torch": plain,
        "torch, no air": bare,
        "openvino, no air": replace(bare, compute=quick),
        "openvino, no air, columns": replace(
            bare, compute=quick, memory_gb=asked.memory_gb
        ),
    }


def main() -> None:
    """Print the table; scripts read the last line."""
    asked = parse()
    made, shape = build(asked), (asked.shape[0], asked.shape[1], asked.shape[2])
    hows = rows(asked)
    cpu: dict[str, list[float]] = {name: [] for name in (*hows, "monai")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, grid = folder / "ct.nii", Grid.from_spacing(shape, (1.0,) * 3, "mm")
        nifti.write_slices(image, grid, np.dtype(np.int16), draw_body(shape))
        work = {
            row: partial(segment_ours, made, how, image, folder / f"{row}.nii")
            for row, how in hows.items()
        }
        whole, goal = hows["torch"], folder / "monai.nii"
        work["monai"] = partial(segment_monai, made, whole, image, goal)
        for _ in range(asked.rounds):
            for row, run in work.items():
                torch.manual_seed(0)
                began = time.process_time()
                run()
                cpu[row].append(time.process_time() - began)
                print(f"{row}: {cpu[row][-1]:.1f} CPU s", flush=True)
        report(cpu, folder)
    columns = columns_of(
        made.spec,
        shape,
        shape,
        hows["openvino, no air, columns"],
        slices_at=2,
        channels=asked.classes,
    )
    print(f"columns: {len(columns)} for {asked.memory_gb:g} GB")
    print(last_line("body", ratios(cpu["openvino, no air"], cpu["monai"])))


def report(cpu: dict[str, list[float]], folder: Path) -> None:
    """Print seconds, ratios, and voxels that differ from torch's inside the body."""
    plain = nifti.read_label(folder / "torch.nii").array
    bare = nifti.read_label(folder / "torch, no air.nii").array
    print(f"{'':28}{'CPU s':>8}{'MONAI / row: min, median, max':>32}{'differing':>12}")
    for row, seconds in cpu.items():
        found = nifti.read_label(folder / f"{row}.nii").array
        apart = float(np.mean(found != (bare if "no air" in row else plain)))
        ratio = ratios(seconds, cpu["monai"])
        shown = f"{min(ratio):.2f}, {statistics.median(ratio):.2f}, {max(ratio):.2f}"
        middle = statistics.median(seconds)
        print(f"{row:28}{middle:8.1f}{shown:>32}{100 * apart:10.4f} %")


if __name__ == "__main__":
    main()
