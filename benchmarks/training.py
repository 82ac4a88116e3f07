"""A training step: ours against nnU-Net's, same network, patch, batch and cores.

    python -m benchmarks.training --peer ENVIRONMENT/bin/python

Both train our 3D U-Net on the embedded data set, as stage preprocess left it: ours by
the stage's own step, in the precision that the machine has; nnU-Net by its own
train_step, loss, optimizer and augmentation, which on a CPU compute in float32. A whole
step draws and augments its patches in the same process; nnU-Net cuts them from memory.
"""

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import Peer, parse_peer
from benchmarks.timing import last_line, ratios, seconds
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, ComputeParams, build_compute
from segpipe.stages import annotate, plan, preprocess, split, verify, weigh
from segpipe.tools.importing.phantom import write_phantom
from segpipe.training import task as training
from segpipe.training.distributed import World
from segpipe.training.patches.ahead import ahead
from segpipe.training.step import (
    Patches,
    augment_patches,
    draw_patches,
    train_step,
)

HOME = Path(__file__).parents[1]
PATCH, BATCH, BASE, MARGIN = (40, 56, 40), 2, 16, (0, 0, 0)
STEPS, ROUNDS = 6, 5
CHANGES = {
    "base_channels": BASE,
    "patch_size": list(PATCH),
    "batch_size": BATCH,
    "sparse_annotation": False,
    "class_weights": "none",
}


def prepare(folder: Path) -> tuple[training.TrainParams, Compute, Paths]:
    """The embedded data set up to annotate, and the model that is trained."""
    paths = Paths(folder)
    write_phantom(paths.data)
    document = read_params(HOME / "presets" / "phantom.yaml")
    document["train"] = document["train"]["unet3d"] | CHANGES
    document["train"]["loss"]["name"] = "dice_cross_entropy"

    def section(name: str, kind: Any) -> Any:
        return parse_section(kind, document[name], where=name)

    params: training.TrainParams = section("train", training.TrainParams)
    compute = build_compute(section("compute", ComputeParams))
    verify.run(section("verify", verify.VerifyParams), networks={"m": 3}, paths=paths)
    split.run(section("split", split.SplitParams), paths=paths)
    plan.run(section("plan", plan.PlanParams), models={"m": params}, paths=paths)
    preprocess.run(section("preprocess", preprocess.PreprocessParams), paths=paths)
    weigh.run(section("weigh", weigh.WeighParams), paths=paths)
    annotate.run(section("annotate", annotate.AnnotateParams), paths=paths)
    return params, compute, paths


class Ours:
    """The stage's own step; how long of it was spent waiting for patches."""

    def __init__(self, folder: Path) -> None:
        """Prepare a task as the stage does."""
        params, compute, paths = prepare(folder)
        self.task = training.build_task(
            params, "m", 0, compute, paths, "benchmark", World()
        )
        self.progress = training.start_or_resume(self.task)
        self.step, self.waiting = 0, 0.0

    def whole(self, workers: int) -> None:
        """Some steps, each with patches of its own, cut ahead by some threads."""
        steps = range(self.step, self.step + STEPS)
        drawn = ahead(partial(draw_patches, self.task, MARGIN), steps, workers=workers)
        for step in steps:
            began = time.perf_counter()
            patches = next(drawn)
            self.waiting += time.perf_counter() - began
            self.learn(step, augment_patches(self.task, patches))
        self.step = steps.stop

    def network(self) -> None:
        """Some steps, all with the same patches."""
        patches = augment_patches(self.task, draw_patches(self.task, MARGIN, 0))
        for _ in range(STEPS):
            self.learn(self.step, patches)

    def learn(self, step: int, patches: Patches) -> None:
        """Forward, backward, update."""
        train_step(self.task, self.progress, step, patches)


def peak_rate(compute: Compute) -> float:
    """Operations a second of a large matrix product: the machine's limit."""
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    a, b = (torch.randn(4096, 4096, dtype=kind) for _ in range(2))
    torch.mm(a, b)
    return 3 * 2 * 4096**3 / seconds(lambda: [torch.mm(a, b) for _ in range(3)])


def operations(ours: Ours) -> int:
    """Of the convolutions of one step, forward and backward."""
    patches = augment_patches(ours.task, draw_patches(ours.task, MARGIN, 0))
    with FlopCounterMode(display=False) as counter:
        ours.learn(0, patches)
    return int(counter.get_total_flops())


def main() -> None:
    """Print the table and the line that machines read."""
    python = parse_peer("training", __doc__ or "")
    with tempfile.TemporaryDirectory() as name:
        ours = Ours(Path(name))
        compute = ours.task.compute
        prepared = Paths(Path(name)).artifacts / "preprocess"
        given = {
            "segpipe": str(HOME),
            "threads": compute.threads,
            "classes": len(ours.task.plan.values),
            "base_channels": BASE,
            "patch": PATCH,
            "batch": BATCH,
            "cases": [str(prepared / case.name) for case in ours.task.training],
        }
        with Peer(python, "nnunet.py", "training", given) as peer:
            rounds = [_round(ours, peer) for _ in range(ROUNDS + 1)][1:]
        report(ours, {name: [row[name] for row in rounds] for name in rounds[0]})


def _round(ours: Ours, peer: Peer) -> dict[str, float]:
    """Seconds of all ways, one after another."""
    found = {}
    for workers in (0, 1, 2):
        ours.waiting = 0.0
        found[f"ours, {workers}"] = seconds(partial(ours.whole, workers))
        found[f"waiting, {workers}"] = ours.waiting
    found["peer"] = peer.ask(steps=STEPS, fresh=True)["seconds"]
    found["ours, network"] = seconds(ours.network)
    found["peer, network"] = peer.ask(steps=STEPS, fresh=False)["seconds"]
    return found


def report(ours: Ours, rounds: dict[str, list[float]]) -> None:
    """The table."""
    compute = ours.task.compute
    middle = {name: statistics.median(found) for name, found in rounds.items()}
    print_line(f"3D U-Net {BASE}, patch {PATCH}, batch {BATCH}, {compute}")
    print_line(f"{'':24}{'ours ms':>10}{'nnU-Net ms':>12}{'ratio':>8}")
    for label, mine, theirs in (
        ("whole step", "ours, 1", "peer"),
        ("network only", "ours, network", "peer, network"),
    ):
        a, b = (1000 * middle[name] / STEPS for name in (mine, theirs))
        print_line(f"{label:24}{a:10.0f}{b:12.0f}{b / a:8.1f}")
    for workers in (0, 1, 2):
        share = middle[f"waiting, {workers}"] / middle[f"ours, {workers}"]
        print_line(f"waiting for patches, {workers} workers: {100 * share:.1f} %")
    each = middle["ours, network"] / STEPS
    rate, peak = operations(ours) / each, peak_rate(compute)
    print_line(
        f"limit: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s of a matrix product, "
        f"{100 * rate / peak:.0f} %"
    )
    alone = ratios(rounds["ours, network"], rounds["peer, network"])
    print_line(last_line("training_network", alone))
    print_line(last_line("training", ratios(rounds["ours, 1"], rounds["peer"])))


def print_line(text: str) -> None:
    """To standard output."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
