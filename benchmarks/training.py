"""A training step: ours against nnU-Net's, same network, patch, batch and cores.

    python -m benchmarks.training --peer ENVIRONMENT/bin/python

Both train our 3D U-Net on the synthetic data set as the stage preprocess wrote it: ours
with the stage's own step, in the machine's best precision; nnU-Net with its own
train_step, loss, optimizer and augmentation, which compute in float32 on a CPU. A whole
step draws and augments its patches in the same process; nnU-Net cuts them from memory.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import HOME, Peer, parse_peer
from benchmarks.timing import last_line, ratios, seconds
from segpipe.planning.params import PlanParams
from segpipe.planning.sides.assignment import SplitParams
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, ComputeParams, build_compute
from segpipe.stages import annotate, plan, preprocess, split, verify, weigh
from segpipe.tools.importing.phantom import write_phantom
from segpipe.training.distributed import World
from segpipe.training.patches.ahead import ahead
from segpipe.training.step import augment_patches, draw_patches, train_step
from segpipe.training.task.build import build_task
from segpipe.training.task.section import TrainParams
from segpipe.training.task.start import start_or_resume

PATCH, BATCH, BASE, MARGIN = (40, 56, 40), 2, 16, (0, 0, 0)
STEPS, ROUNDS = 6, 5
CHANGES = {
    "base_channels": BASE,
    "patch_size": list(PATCH),
    "batch_size": BATCH,
    "sparse_annotation": False,
    "class_weights": "none",
}


def prepare(
    folder: Path, changes: dict[str, Any]
) -> tuple[TrainParams, Compute, Paths]:
    """Run the stages up to annotate on the synthetic data set."""
    paths = Paths(folder)
    write_phantom(paths.data)
    document = read_params(HOME / "presets" / "phantom.yaml")
    document["train"] = document["train"]["unet3d"] | CHANGES | changes
    document["train"]["loss"]["name"] = "dice_cross_entropy"

    def section(name: str, kind: Any) -> Any:
        return parse_section(kind, document[name], where=name)

    params: TrainParams = section("train", TrainParams)
    compute = build_compute(section("compute", ComputeParams))
    verify.run(section("verify", verify.VerifyParams), networks={"m": 3}, paths=paths)
    split.run(section("split", SplitParams), paths=paths)
    plan.run(section("plan", PlanParams), models={"m": params}, paths=paths)
    preprocess.run(section("preprocess", preprocess.PreprocessParams), paths=paths)
    annotate.run(section("annotate", annotate.AnnotateParams), paths=paths)
    weigh.run(section("weigh", weigh.WeighParams), paths=paths)
    return params, compute, paths


class Ours:
    """The stage's own step, and the time that it waits for patches."""

    def __init__(
        self,
        folder: Path,
        compute: Compute | None = None,
        changes: dict[str, Any] | None = None,
    ) -> None:
        """Build a task as the stage does, computed as the preset says by default."""
        params, best, paths = prepare(folder, changes or {})
        self.task = build_task(
            params, "m", 0, compute or best, paths, "benchmark", World()
        )
        self.progress = start_or_resume(self.task)
        self.step, self.waiting = 0, 0.0

    def whole(self, workers: int) -> None:
        """Take some steps, each with its own patches, drawn ahead by some threads."""
        steps = range(self.step, self.step + STEPS)
        drawn = ahead(partial(draw_patches, self.task, MARGIN), steps, workers=workers)
        for step in steps:
            began = time.perf_counter()
            patches = next(drawn)
            self.waiting += time.perf_counter() - began
            train_step(
                self.task, self.progress, step, augment_patches(self.task, patches)
            )
        self.step = steps.stop

    def network(self) -> None:
        """Take some steps, all with the same patches."""
        patches = augment_patches(self.task, draw_patches(self.task, MARGIN, 0))
        for _ in range(STEPS):
            train_step(self.task, self.progress, self.step, patches)


def peak_rate(compute: Compute) -> float:
    """Rate of a large matrix product in operations per second: the machine's limit."""
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    a, b = (torch.randn(4096, 4096, dtype=kind) for _ in range(2))
    torch.mm(a, b)
    return 3 * 2 * 4096**3 / seconds(lambda: [torch.mm(a, b) for _ in range(3)])


def operations(ours: Ours) -> int:
    """Operations of the convolutions in one step, forward and backward."""
    patches = augment_patches(ours.task, draw_patches(ours.task, MARGIN, 0))
    with FlopCounterMode(display=False) as counter:
        train_step(ours.task, ours.progress, 0, patches)
    return int(counter.get_total_flops())


def main() -> None:
    """Print the table and the lines that scripts read."""
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
    """Seconds of all variants, one after another."""
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
    """Print the table."""
    compute = ours.task.compute
    middle = {name: statistics.median(found) for name, found in rounds.items()}
    print(f"3D U-Net {BASE}, patch {PATCH}, batch {BATCH}, {compute}")
    print(f"{'':24}{'ours ms':>10}{'nnU-Net ms':>12}{'ratio':>8}")
    for label, mine, theirs in (
        ("whole step", "ours, 1", "peer"),
        ("network only", "ours, network", "peer, network"),
    ):
        a, b = (1000 * middle[name] / STEPS for name in (mine, theirs))
        print(f"{label:24}{a:10.0f}{b:12.0f}{b / a:8.1f}")
    for workers in (0, 1, 2):
        share = middle[f"waiting, {workers}"] / middle[f"ours, {workers}"]
        print(f"waiting for patches, {workers} workers: {100 * share:.1f} %")
    each = middle["ours, network"] / STEPS
    rate, peak = operations(ours) / each, peak_rate(compute)
    print(
        f"limit: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s of a matrix product, "
        f"{100 * rate / peak:.0f} %"
    )
    alone = ratios(rounds["ours, network"], rounds["peer, network"])
    print(last_line("training_network", alone))
    print(last_line("training", ratios(rounds["ours, 1"], rounds["peer"])))


if __name__ == "__main__":
    main()
