"""A GPU: a training step against the network alone, and inference against MONAI's.

    python -m benchmarks.gpu [--rounds 3] [--device cuda]

The first table has the milliseconds of a training step of the 3D U-Net (base width 32,
patches of 96 x 96 x 96) on the synthetic data set: with its patches, drawn ahead by 0,
1 and 4 threads, and with the same patches again and again, which is the limit; in
float32, in bf16, and in bf16 compiled. The second has the seconds of inference from
file to file, ours and MONAI's in turn, with the same weights; MONAI's image, logits
and blending lie on the GPU.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.inference import differing
from benchmarks.peers.segmenting import segment_monai, segment_ours
from benchmarks.segmenting import build_segmenter, draw_volume
from benchmarks.timing import last_line, ratios, seconds
from benchmarks.training import STEPS, Ours
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.segmenter.compute import Compute, ComputeParams, Stopwatch, build_compute
from segpipe.segmenter.inference.inference import Inference

TRAINED = {"base_channels": 32, "patch_size": [96, 96, 96]}
SEGMENTED = (("unet3d", 32), ("vnet", 16))
WORKERS = (0, 1, 4)


def main() -> None:
    """Print both tables; scripts read the lines with ratios."""
    asked = parse()
    for precision, compiled in (("fp32", False), ("bf16", False), ("bf16", True)):
        compute = build_compute(
            ComputeParams(
                device=asked.device,
                precision=precision,
                threads=asked.threads,
                workers=1,
                compile=compiled,
            )
        )
        if not compiled or asked.compile:
            learn(compute, asked.rounds)
    for precision in ("fp32", "bf16"):
        for network, base in SEGMENTED:
            plain = replace(compute, precision=precision, compile=False)
            segment(plain, network, base, asked)


def parse() -> argparse.Namespace:
    """Read the device, and sizes for quick trials."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="what computes")
    add("--rounds", type=int, default=3, help="number of rounds")
    add("--threads", type=int, default=2, help="threads of the processor")
    add("--compile", action="store_true", help="compile the network, too: minutes")
    add("--shape", type=int, nargs=3, default=(256, 256, 256), help="of the volume")
    add("--patch", type=int, default=96, help="side of the tiles")
    return parser.parse_args()


def learn(compute: Compute, rounds: int) -> None:
    """Print the milliseconds of a training step."""
    with tempfile.TemporaryDirectory() as name:
        ours = Ours(Path(name), compute, TRAINED)
        works = {f"{n} threads ahead": partial(ours.whole, n) for n in WORKERS}
        works["the same patches"] = ours.network
        for work in works.values():
            work()
        found = [
            {name: seconds(work) for name, work in works.items()} for _ in range(rounds)
        ]
    size, batch = ours.task.patch.patch_size, ours.task.patch.batch_size
    width = TRAINED["base_channels"]
    print(f"\n3D U-Net {width}, {batch} patches of {size}, {compute}: ms a step")
    for name in works:
        print(f"  {name:20}{_row([1000 * one[name] / STEPS for one in found])}")
    print(f"  GPU memory at most {_peak(compute):.2f} GB", flush=True)
    same = [one["the same patches"] for one in found]
    ahead = [one[f"{WORKERS[-1]} threads ahead"] for one in found]
    print(last_line("gpu_training", ratios(same, ahead)), flush=True)


def segment(
    compute: Compute, network: str, base: int, asked: argparse.Namespace
) -> None:
    """Print the seconds of inference from file to file."""
    shape, side = tuple(asked.shape), asked.patch
    made = build_segmenter(network, base_channels=base, classes=3, patch=(side,) * 3)
    how = Inference(0.5, "gaussian", 4.0, False, compute)
    with tempfile.TemporaryDirectory() as name:
        image, goal, other = (Path(name) / f"{n}.nii" for n in ("image", "a", "b"))
        nifti.write_image(
            image, draw_volume(shape), Grid.from_spacing(shape, (1.0,) * 3, "mm")
        )
        watch = Stopwatch()
        ours = partial(segment_ours, made, how, image, goal, stopwatch=watch)
        monai = partial(segment_monai, made, how, image, other)
        segment_ours(made, how, image, goal)
        _, peak = monai(), _peak(compute)
        found, held = [], []
        for _ in range(asked.rounds):
            _forget(compute)
            mine = seconds(ours)
            held.append(_peak(compute))
            found.append((mine, seconds(monai)))
        apart = differing(goal, other)
    print(f"\n{network} {base}, {shape}, tiles of {side}, {compute}: s a volume")
    print(f"  ours    {_row([mine for mine, _ in found])}, {max(held):.2f} GB at most")
    print(f"  MONAI's {_row([peer for _, peer in found])}, {peak:.2f} GB at most")
    print(f"  {100 * apart:.3f} % of the voxels differ")
    whole = sum(watch.seconds.values())
    shares = {part: spent / whole for part, spent in watch.seconds.items()}
    print(
        "  ours: " + ", ".join(f"{part} {100 * s:.0f} %" for part, s in shares.items())
    )
    both = np.array(found)
    print(last_line("gpu_inference", ratios(both[:, 0], both[:, 1])), flush=True)


def _forget(compute: Compute) -> None:
    if compute.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(compute: Compute) -> float:
    if compute.device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return peak


def _row(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:8.2f} (min {min(values):.2f}, max {max(values):.2f})"


if __name__ == "__main__":
    main()
