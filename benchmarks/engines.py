"""Engines: a network's pass through one tile, in torch and in OpenVINO.

    python -m benchmarks.engines --threads 1

All take turns in each round, so that the load of the machine falls on all alike. Ratios
are seconds of torch in float32 over those of the row, round by round. CPU seconds are
those of all threads. The weights are random, so many voxels are near a tie. With
--compile torch.compile takes part, which needs a C++ compiler and compiles first.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.timing import last_line, ratios, seconds
from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.networks.catalogue import Network
from segpipe.networks.engine import OpenVinoNetwork
from segpipe.segmenter.compute import ComputeParams, build_compute

CLASSES = 3
WORKS: dict[str, tuple[str, int, Triple]] = {
    "unet2d-small": ("unet2d", 32, (128, 128, 1)),
    "unet2d-large": ("unet2d", 32, (320, 320, 1)),
    "unet3d-small": ("unet3d", 16, (40, 56, 40)),
    "unet3d-large": ("unet3d", 16, (80, 80, 64)),
    "vnet-small": ("vnet", 8, (48, 48, 48)),
    "vnet-large": ("vnet", 8, (96, 96, 64)),
}
FIRST = "torch fp32"


def rows(
    network: Network, axis: int | None, *, threads: int, compiled: bool
) -> dict[str, Callable[[Tensor], Tensor]]:
    """The functions that are compared, by name."""

    def in_torch(net: torch.nn.Module, tile: Tensor, *, bf16: bool) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, bf16):
            return apply_network(net, tile, axis).float()

    made = {
        FIRST: partial(in_torch, network, bf16=False),
        "torch bf16": partial(in_torch, network, bf16=True),
    }
    if compiled:
        quick = torch.compile(network, dynamic=False)
        made["compile fp32"] = partial(in_torch, quick, bf16=False)
        made["compile bf16"] = partial(in_torch, quick, bf16=True)
    for bf16 in (False, True):
        made[f"openvino {'bf16' if bf16 else 'f32'}"] = OpenVinoNetwork(
            network, slice_axis=axis, bf16=bf16, threads=threads
        )
    return made


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--threads", type=int, default=2, help="of each engine")
    add("--rounds", type=int, default=7, help="number of rounds")
    add("--works", nargs="+", choices=WORKS, default=list(WORKS), help="which to run")
    add("--compile", action="store_true", help="torch.compile, too")
    return parser.parse_args()


def measure(label: str, asked: argparse.Namespace) -> Iterator[float]:
    """Print the table of one network and tile; yields the ratios of OpenVINO f32."""
    name, base, shape = WORKS[label]
    axis = 2 if name == "unet2d" else None
    torch.manual_seed(0)
    spec = NetworkSpec(
        name=name,
        in_channels=1,
        out_channels=CLASSES,
        base_channels=base,
        padding="same",
    )
    network, tile = build_network(spec).eval(), torch.randn(1, 1, *shape)
    made = rows(network, axis, threads=asked.threads, compiled=asked.compile)
    logits = {row: work(tile).clone() for row, work in made.items()}
    wall: dict[str, list[float]] = {row: [] for row in made}
    cpu: dict[str, list[float]] = {row: [] for row in made}
    for _ in range(asked.rounds):
        for row, work in made.items():
            began = time.process_time()
            wall[row].append(seconds(partial(work, tile)))
            cpu[row].append(time.process_time() - began)
    print(f"\n{label}: {name} {base}, tile {shape}, threads: {asked.threads}")
    heads = ("ms", "CPU ms", "ratio", "CPU ratio", "differing", "largest p")
    print(f"{'':14}" + "".join(f"{head:>22}" for head in heads))
    exact = logits[FIRST]
    for row in made:
        apart = float((logits[row].argmax(1) != exact.argmax(1)).float().mean())
        shift = float((logits[row].softmax(1) - exact.softmax(1)).abs().max())
        cells = (
            spread([1000 * one for one in wall[row]]),
            spread([1000 * one for one in cpu[row]]),
            spread(ratios(wall[row], wall[FIRST])),
            spread(ratios(cpu[row], cpu[FIRST])),
            f"{100 * apart:.4f} %",
            f"{shift:.1e}",
        )
        print(f"{row:14}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
    yield from ratios(wall["openvino f32"], wall[FIRST])


def spread(values: list[float]) -> str:
    """Minimum, median and maximum as text."""
    middle = statistics.median(values)
    return " - ".join(f"{one:.3g}" for one in (min(values), middle, max(values)))


def main() -> None:
    """Print a table for each network and tile; scripts read the last line."""
    asked = parse()
    build_compute(
        ComputeParams(
            device="cpu",
            precision="fp32",
            threads=asked.threads,
            workers=0,
            compile=False,
            engine="openvino",
        )
    )
    found = [ratio for label in asked.works for ratio in measure(label, asked)]
    print(last_line("engines", found))


if __name__ == "__main__":
    main()
