"""What looking at a coarse resolution first saves: a segmenter with and without it.

    python -m benchmarks.coarse SEGMENTER --images FILE ... [--label FILE]

The segmenter was trained with ``coarse: true``. Its networks segment the image with
their coarse ones and without them, in turn, in memory. Ratios are CPU seconds without
over those with it, round by round.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.timing import last_line, ratios
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.volume import Image
from segpipe.segmenter.compute import ComputeParams, build_compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter


def parse() -> argparse.Namespace:
    """Read what is segmented by what."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coarse",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("segmenter", type=Path, help="folder of a segmenter with coarse networks")
    add("--images", type=Path, nargs="+", required=True, help="a file a channel")
    add("--label", type=Path, help="its label map, for the Dice of each way")
    add("--memory-gb", type=float, default=4, help="memory of both ways")
    add("--rounds", type=int, default=3, help="number of rounds")
    return parser.parse_args()


def main() -> None:
    """Print CPU seconds, runs of the network, and how the label maps differ."""
    asked = parse()
    read = [read_image(file) for file in asked.images]
    image = Image(np.concatenate([one.array for one in read]), read[0].grid)
    made = Segmenter.load(asked.segmenter)
    if made.coarse is None:
        raise SystemExit(f"{asked.segmenter}: expected coarse networks, found none")
    compute = build_compute(
        ComputeParams(
            device="cpu", precision="fp32", threads=1, workers=0, compile=False
        )
    )
    inference = Inference(0.5, "gaussian", asked.memory_gb, False, compute)
    ways = {"with": made, "without": replace(made, coarse=None)}
    tiles: list[int] = []
    made.networks[0].register_forward_pre_hook(
        lambda _, given: tiles.append(len(given[0]))
    )
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    labels = {}
    for _ in range(asked.rounds):
        for way, segmenter in ways.items():
            tiles.clear()
            began = time.process_time()
            labels[way] = segmenter.segment(image, inference).array
            seconds[way].append(time.process_time() - began)
            print(f"{way}: {seconds[way][-1]:.1f} CPU s, {sum(tiles)} tiles")
    print(
        f"differing: {(labels['with'] != labels['without']).mean():.3%} of the voxels"
    )
    if asked.label is not None:
        drawn = read_label(asked.label).array
        for way, found in labels.items():
            each = [dice(drawn == n, found == n) for n in np.unique(drawn[drawn > 0])]
            print(f"{way}: Dice {np.mean(each):.3f}")
    print(last_line("coarse", ratios(seconds["with"], seconds["without"])))


if __name__ == "__main__":
    main()
