"""Memory of inference by length and number of classes; ours and MONAI under a cap.

    python -m benchmarks.inference_memory

Each run is a separate process, from a NIfTI file on disk to a label map on disk. The
network is far smaller than a useful one (a 3D U-Net with one base channel), so that a
pass over hundreds of megavoxels takes minutes: memory is measured, not speed. Tiles
overlap by a quarter for the same reason; memory does not depend on the overlap.
Files of up to 2^26 voxels are read whole, larger ones slice by slice along k.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import Peer
from benchmarks.segmenting import draw_slices
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid

GIB = 2**30


def parse() -> argparse.Namespace:
    """Read the sizes, which can be reduced for quick trials."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference_memory",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.inference_memory --side 96 --lengths 96 "
        "192 --patch 32 --monai-side 96 --cap-gb 1",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--side", type=int, default=384, help="voxels along i and j")
    add("--lengths", type=int, nargs=2, default=(384, 768), help="voxels along k")
    add("--classes", type=int, nargs=2, default=(2, 100), help="few and many")
    add("--patch", type=int, default=64, help="side of a tile")
    add("--overlap", type=float, default=0.25, help="share that tiles overlap")
    add("--memory-gb", type=float, default=0.5, help="budget of a forward pass")
    add("--threads", type=int, default=2, help="of each process")
    add("--monai-side", type=int, default=256, help="side of the volume under the cap")
    add("--cap-gb", type=float, default=6.0, help="memory that MONAI and we may take")
    return parser.parse_args()


def run(kind: str, given: dict[str, Any], image: Path) -> dict[str, Any]:
    """Segment a file in a new process; returns its answer and its initial memory."""
    with Peer(Path(sys.executable), "segmenting.py", kind, given) as peer:
        found = peer.ask(image=str(image), goal=str(image.with_name("labels.nii")))
        return {**found, "start_mb": peer.start["peak_mb"]}


def write_volume(folder: Path, side: int, length: int) -> Path:
    """Write an uncompressed int16 volume slice by slice, unless it is there."""
    path = folder / f"image-{side}-{length}.nii"
    if not path.exists():
        grid = Grid.from_spacing((side, side, length), (1.0, 1.0, 1.0), "mm")
        nifti.write_slices(path, grid, np.dtype(np.int16), draw_slices(grid.shape))
    return path


def by_length(asked: argparse.Namespace, given: dict[str, Any], folder: Path) -> None:
    """Print the table of peaks by length and number of classes."""
    print(
        f"{'classes':>8}{'volume i j k':>18}{'read':>10}{'start MiB':>11}"
        f"{'peak MiB':>10}{'above start':>12}{'whole, GiB':>12}{'s':>7}"
    )
    peaks: dict[tuple[int, int], float] = {}
    for classes in asked.classes:
        for length in asked.lengths:
            image = write_volume(folder, asked.side, length)
            found = run("ours", given | {"classes": classes, "cap_gb": 0}, image)
            voxels = asked.side**2 * length
            peaks[classes, length] = found["peak_mb"]
            print(
                f"{classes:8}{f'{asked.side} {asked.side} {length}':>18}"
                f"{'whole' if voxels <= nifti.LARGEST_WHOLE else 'in slices':>10}"
                f"{found['start_mb']:11.0f}{found['peak_mb']:10.0f}"
                f"{found['peak_mb'] - found['start_mb']:12.0f}"
                f"{4 * classes * voxels / GIB:12.1f}{found['seconds']:7.0f}",
                flush=True,
            )
        short, long = (peaks[classes, length] for length in asked.lengths)
        print(f"{classes} classes: the longer volume takes {long - short:+.0f} MiB")
    few, many = asked.classes
    each = [(peaks[many, n] - peaks[few, n]) / (many - few) for n in asked.lengths]
    row = asked.patch * asked.side**2 * 4 / 2**20
    print(
        f"a class takes {each[0]:.1f} and {each[1]:.1f} MiB; a row of tiles in float32 "
        f"{row:.1f} MiB, the whole volumes "
        f"{' and '.join(f'{asked.side**2 * n * 4 / 2**20:.0f}' for n in asked.lengths)}"
    )


def under_a_cap(asked: argparse.Namespace, given: dict[str, Any], folder: Path) -> None:
    """Run MONAI and ours with many classes, with and without the cap."""
    side, classes = asked.monai_side, asked.classes[1]
    image = write_volume(folder, side, side)
    print(f"{classes} classes, {side}^3, {asked.cap_gb:g} GB allowed, or all:")
    peaks = {}
    for cap in (asked.cap_gb, 0):
        for kind in ("ours", "monai"):
            found = run(kind, given | {"classes": classes, "cap_gb": cap}, image)
            allowed = f"{cap:g} GB" if cap else "all"
            if not found["finished"]:
                print(f"{allowed:>8}{kind:>8}  did not finish: {found['why']}")
                continue
            peaks[kind] = found["peak_mb"]
            print(
                f"{allowed:>8}{kind:>8}  finished in {found['seconds']:.0f} s, peak "
                f"{found['peak_mb']:.0f} MiB",
                flush=True,
            )
    for length in asked.lengths:
        whole = 4 * classes * asked.side**2 * length / GIB
        print(
            f"MONAI's sums for {asked.side} {asked.side} {length}: {whole:.1f} GiB "
            "by arithmetic"
        )
    ratio = peaks["monai"] / peaks["ours"]
    print(
        f"inference_memory: ratio {ratio:.1f} (MONAI's peak over ours at {side}^3, "
        "nothing capped)"
    )


def main() -> None:
    """Print both tables."""
    asked = parse()
    given = {
        "threads": asked.threads,
        "network": "unet3d",
        "base_channels": 1,
        "patch": [asked.patch] * 3,
        "overlap_fraction": asked.overlap,
        "memory_gb": asked.memory_gb,
    }
    print(
        f"3D U-Net of 1 base channel, tiles of {asked.patch}^3, overlap {asked.overlap}"
    )
    with tempfile.TemporaryDirectory() as name:
        by_length(asked, given, Path(name))
        under_a_cap(asked, given, Path(name))


if __name__ == "__main__":
    main()
