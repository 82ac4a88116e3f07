"""Inference from file to file: ours against MONAI and nnU-Net, same weights and cores.

    python -m benchmarks.inference --peer ENVIRONMENT/bin/python

All overlap tiles by half and blend them with the same Gaussian. MONAI and nnU-Net use
tiles of the training's patch size. So do we for the 3D U-Net, which normalizes by the
statistics of its tile and needs tiles as in training. The V-Net does not, and gets the
largest tiles that the memory budget of params.yaml allows; the row "patch" shows ours
without that. nnU-Net computes in float32 on a CPU, so the ratios are for float32; ours
and MONAI also run in bf16 if the CPU supports it. nnU-Net interpolates linearly, too;
MONAI uses our reading, preparation and writing. Ours runs before, between and after the
peers.

The weights are random, so many voxels are near a tie. Ours blends probabilities, the
peers blend logits; at 0.8 mm nnU-Net does not average when it downsamples, and MONAI
places its tiles differently.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import HOME, HOW, Peer
from benchmarks.peers.segmenting import segment_monai, segment_ours
from benchmarks.segmenting import build_segmenter, draw_volume
from benchmarks.timing import last_line, seconds
from benchmarks.training import peak_rate
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.networks.build import apply_network, build_network
from segpipe.segmenter.compute import Compute, ComputeParams, Stopwatch, build_compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter

CLASSES, OVERLAP, MEMORY_GB = 3, 0.5, 4
WORKS = (
    ("3D U-Net 16, 1 mm", "unet3d", 16, 1.0),
    ("3D U-Net 16, 0.8 mm", "unet3d", 16, 0.8),
    ("V-Net 8, 1 mm", "vnet", 8, 1.0),
)
PARTS = ("read", "prepare", "network", "blend", "resample", "label", "write")


@dataclass(frozen=True, eq=False)
class Setting:
    """A segmenter that runs on a file, with a precision."""

    made: Segmenter
    how: Inference
    image: Path
    folder: Path

    def ours(self, goal: Path, watch: Stopwatch, shapes: list[tuple[int, ...]]) -> None:
        """Run our segmenter; adds its times and the shapes of the network's inputs."""

        def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            shapes.append(tuple(given[0].shape))

        hook = self.made.networks[0].register_forward_pre_hook(look)
        with watch.phase("write"):
            segment_ours(self.made, self.how, self.image, goal, stopwatch=watch)
        hook.remove()

    def monai(self) -> None:
        """Run MONAI's sliding window."""
        segment_monai(self.made, self.how, self.image, self.labels("monai"))

    def labels(self, whose: str) -> Path:
        """File of a label map."""
        return self.folder / f"{whose}-{self.how.compute.precision}.nii"


def differing(one: Path, other: Path) -> float:
    """Share of the voxels at which two label maps differ."""
    a, b = (nifti.read_label(path).array for path in (one, other))
    return float(np.mean(a != b))


def machine_rate(compute: Compute) -> float:
    """Best rate of a matrix product or a wide convolution, in operations per second.

    The float32 product of one library may be slower than the convolution of another.
    """
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    wide, kernel = torch.randn(4, 512, 64, 64), torch.randn(512, 512, 3, 3)
    wide, kernel = wide.to(kind), kernel.to(kind)
    with torch.inference_mode():
        work = partial(torch.nn.functional.conv2d, wide, kernel, padding=1)
        work()
        rate = 2 * kernel.numel() * 4 * 64 * 64 / seconds(work)
    return max(rate, peak_rate(compute))


def operations(made: Segmenter, shapes: list[tuple[int, ...]]) -> float:
    """Operations of the network over all tiles."""
    with torch.device("meta"):
        network = build_network(made.spec.network).eval()
    total = 0.0
    for shape in set(shapes):
        with FlopCounterMode(display=False) as counter:
            apply_network(network, torch.zeros(shape, device="meta"), None)
        total += counter.get_total_flops() * shapes.count(shape)
    return total


def parse() -> argparse.Namespace:
    """Read the peer's interpreter, and sizes for quick trials."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference",
        description=(__doc__ or "").splitlines()[0],
        epilog=f"example: {HOW}; python -m benchmarks.inference --peer NEW/bin/python",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--peer", type=Path, required=True, help="python of nnU-Net's environment")
    add("--shape", type=int, nargs=3, default=(160, 160, 128), help="of the volume")
    add("--patch", type=int, default=64, help="side of the training's patch")
    add("--rounds", type=int, default=3, help="number of rounds")
    add("--threads", type=int, default=2, help="of each process")
    names = ("unet3d", "vnet")
    add("--networks", nargs="+", choices=names, default=names, help="which to run")
    return parser.parse_args()


def main() -> None:
    """Print a table for each network and spacing; scripts read the last two lines."""
    asked = parse()
    params = ComputeParams(
        device="cpu", precision="auto", threads=asked.threads, workers=0, compile=False
    )
    best = build_compute(params)
    found: dict[str, list[float]] = {"monai": [], "nnunet": []}
    for label, network, base, spacing in WORKS:
        if network not in asked.networks:
            continue
        made = build_segmenter(
            network, base_channels=base, classes=CLASSES, patch=(asked.patch,) * 3
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            image, shape = folder / "image.nii", tuple(asked.shape)
            grid = Grid.from_spacing(shape, (spacing,) * 3, "mm")
            nifti.write_image(image, draw_volume(shape), grid)
            print(f"\n{label}: {shape}, patch {asked.patch}^3, threads: {best.threads}")
            got = run_work(made, image, folder, asked, best)
        for whose, ratio in got.items():
            found[whose] += ratio
    for whose, ratio in found.items():
        print(last_line(f"inference_{whose}", ratio))


def run_work(
    made: Segmenter,
    image: Path,
    folder: Path,
    asked: argparse.Namespace,
    best: Compute,
) -> dict[str, list[float]]:
    """Run one network on one file and print the table; returns ratios for float32."""
    weights = folder / "weights.pt"
    torch.save(made.networks[0].state_dict(), weights)
    given = {
        "segpipe": str(HOME),
        "threads": asked.threads,
        "network": made.spec.network.name,
        "base_channels": made.spec.network.base_channels,
        "classes": CLASSES,
        "overlap_fraction": OVERLAP,
        "patch": made.spec.patch_size,
        "weights": str(weights),
    }
    settings = {
        kind: Setting(
            made,
            Inference(
                OVERLAP, "gaussian", MEMORY_GB, False, replace(best, precision=kind)
            ),
            image,
            folder,
        )
        for kind in sorted({"fp32", best.precision}, reverse=True)
    }
    table = Table(settings)
    with Peer(asked.peer, "nnunet.py", "segmenting", given) as peer:
        nnunet = partial(peer.ask, image=str(image), goal=str(folder / "nnunet.nii"))
        for _ in range(asked.rounds):
            for kind, setting in settings.items():
                table.peaks[kind].append(machine_rate(setting.how.compute))
                table.ours(kind)
                table.add(kind, "monai", seconds(setting.monai))
                table.ours(kind)
                if kind != "fp32":
                    continue
                if made.spec.network.name == "vnet":
                    table.patch(kind)
                    table.ours(kind)
                table.nnunet = nnunet()
                table.add(kind, "nnunet", table.nnunet["seconds"])
                table.ours(kind)
    return table.report()


class Table:
    """Seconds of all runs in their order, and the table of them."""

    def __init__(self, settings: dict[str, Setting]) -> None:
        """Start with an empty table."""
        self.settings = settings
        self.runs: dict[str, list[tuple[str, float]]] = {kind: [] for kind in settings}
        self.watches = {kind: Stopwatch() for kind in settings}
        self.shapes: dict[str, list[tuple[int, ...]]] = {}
        self.nnunet: dict[str, Any] = {}
        self.peaks: dict[str, list[float]] = {kind: [] for kind in settings}

    def add(self, kind: str, whose: str, time: float) -> None:
        """Add a run."""
        self.runs[kind].append((whose, time))

    def ours(self, kind: str) -> None:
        """Run ours once."""
        setting, self.shapes[kind] = self.settings[kind], []
        goal, watch = setting.labels("ours"), self.watches[kind]
        work = partial(setting.ours, goal, watch, self.shapes[kind])
        self.add(kind, "ours", seconds(work))

    def patch(self, kind: str) -> None:
        """Run ours once with tiles of the training's patch size."""
        setting = self.settings[kind]
        small = replace(setting, how=replace(setting.how, memory_gb=0))
        work = partial(small.ours, setting.labels("patch"), Stopwatch(), [])
        self.add(kind, "patch", seconds(work))

    def times(self, kind: str, whose: str) -> list[float]:
        """Seconds of the runs of one program."""
        return [time for name, time in self.runs[kind] if name == whose]

    def ratios(self, kind: str, whose: str) -> list[float]:
        """Seconds of each run over the mean of our runs just before and after it."""
        runs = self.runs[kind]
        return [
            time / statistics.mean((runs[n - 1][1], runs[n + 1][1]))
            for n, (name, time) in enumerate(runs)
            if name == whose
        ]

    def report(self) -> dict[str, list[float]]:
        """Print the table; returns the ratios for float32."""
        print(f"{'':18}{'s: min - median - max':>26}{'ratio to ours':>26}")
        for kind in self.settings:
            for whose in ("ours", "patch", "monai", "nnunet"):
                if times := self.times(kind, whose):
                    row = f"{whose + ', ' + kind:18}{spread(times):>26}"
                    ratio = spread(self.ratios(kind, whose)) if whose != "ours" else ""
                    print(f"{row}{ratio:>26}")
        parts = self.nnunet["parts"]
        shown = ", ".join(f"{name} {value:.1f} s" for name, value in parts.items())
        print(f"nnU-Net, last round: {shown}")
        for kind in self.settings:
            self.report_ours(kind)
        self.report_labels()
        return {name: self.ratios("fp32", name) for name in ("monai", "nnunet")}

    def report_ours(self, kind: str) -> None:
        """Print the shares of our parts, and the network's rate against the limit."""
        peak = max(self.peaks[kind])
        spent, shapes = self.watches[kind].seconds, self.shapes[kind]
        whole, runs = sum(spent.values()), len(self.times(kind, "ours"))
        shares = ", ".join(f"{name} {100 * spent[name] / whole:.1f}" for name in PARTS)
        print(f"ours, {kind}, % of the time: {shares}")
        made = self.settings[kind].made
        rate = operations(made, shapes) * runs / spent["network"]
        voxels = sum(int(np.prod(shape)) for shape in shapes) / 1e6
        print(
            f"ours, {kind}: {len(shapes)} passes, the largest {max(shapes)}, "
            f"{voxels:.1f} Mvoxel; "
            f"the network at {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s at "
            f"best, {100 * rate / peak:.0f} %"
        )

    def report_labels(self) -> None:
        """Print the share of voxels at which label maps differ."""
        setting = self.settings["fp32"]
        mine = setting.labels("ours")
        counts = np.bincount(nifti.read_label(mine).array.ravel(), minlength=CLASSES)
        shares = " ".join(f"{100 * n / counts.sum():.0f}" for n in counts)
        print(f"classes of ours: {shares} % of the voxels; differing voxels:")
        pairs = [("nnunet", setting.folder / "nnunet.nii")]
        pairs += [
            (f"{whose}, {kind}", one.labels(whose))
            for kind, one in self.settings.items()
            for whose in ("ours", "monai")
        ]
        same = setting.labels("patch") if setting.labels("patch").exists() else mine
        for name, other in pairs:
            print(
                f"{name:>18} from ours {100 * differing(mine, other):.3f} %, from ours "
                f"with tiles of the patch {100 * differing(same, other):.3f} %",
                flush=True,
            )


def spread(values: list[float]) -> str:
    """Minimum, median and maximum as text."""
    middle = statistics.median(values)
    return f"{min(values):.2f} - {middle:.2f} - {max(values):.2f}"


if __name__ == "__main__":
    main()
