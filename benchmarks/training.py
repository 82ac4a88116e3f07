"""A training step: ours against nnU-Net's, same network, patch, batch and cores.

    python -m benchmarks.training --peer ENVIRONMENT/bin/python

Both train our 3D U-Net on the embedded data set, as stage preprocess left it: ours by
the stage's own step, in the precision that the machine has; nnU-Net by its own
train_step, loss, optimizer and augmentation, which on a CPU compute in float32. A whole
step draws and augments its patches in the same process; nnU-Net cuts them from memory.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import Peer, parse_peer
from benchmarks.timing import last_line, ratios, seconds
from segpipe import training
from segpipe.compute import Compute, ComputeParams, build_compute
from segpipe.distributed import World
from segpipe.params import parse_section, read_params
from segpipe.paths import Paths
from segpipe.phantom import write_phantom
from segpipe.stages import annotate, plan, preprocess, split, verify, weigh

HOME = Path(__file__).parents[1]
PATCH, BATCH, BASE = (40, 56, 40), 2, 16
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
    """The stage's own step; how long of it went into drawing patches."""

    def __init__(self, folder: Path) -> None:
        """Prepare a task as the stage does."""
        params, compute, paths = prepare(folder)
        record = {"fingerprint": "benchmark"}
        self.task = training.build_task(params, "m", 0, compute, paths, record, World())
        self.progress = training.begin(self.task)
        self.step, self.drawing = 0, 0.0

    def whole(self) -> None:
        """Some steps, each with patches of its own."""
        for _ in range(STEPS):
            began = time.perf_counter()
            patches = training.draw_patches(self.task, self.progress, self.step)
            self.drawing += time.perf_counter() - began
            training.learn(self.task, self.progress, self.step, patches)
            self.step += 1

    def network(self) -> None:
        """Some steps, all with the same patches."""
        patches = training.draw_patches(self.task, self.progress, 0)
        for _ in range(STEPS):
            training.learn(self.task, self.progress, self.step, patches)


def peak_rate(compute: Compute) -> float:
    """Operations a second of a large matrix product: the machine's limit."""
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    a, b = (torch.randn(4096, 4096, dtype=kind) for _ in range(2))
    torch.mm(a, b)
    return 3 * 2 * 4096**3 / seconds(lambda: [torch.mm(a, b) for _ in range(3)])


def operations(ours: Ours) -> int:
    """Of the convolutions of one step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        patches = training.draw_patches(ours.task, ours.progress, 0)
        training.learn(ours.task, ours.progress, 0, patches)
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
            ours.whole()
            peer.ask(steps=STEPS, fresh=True)
            ours.drawing, rounds = 0.0, []
            for _ in range(ROUNDS):
                rounds.append(
                    (
                        seconds(ours.whole),
                        peer.ask(steps=STEPS, fresh=True)["seconds"],
                        seconds(ours.network),
                        peer.ask(steps=STEPS, fresh=False)["seconds"],
                    )
                )
        report(ours, rounds)


def report(ours: Ours, rounds: list[tuple[float, ...]]) -> None:
    """The table."""
    compute = ours.task.compute
    whole, peers_whole, network, peers_network = zip(*rounds, strict=True)
    each = sorted(network)[len(network) // 2] / STEPS
    rate, peak = operations(ours) / each, peak_rate(compute)
    print_line(f"3D U-Net {BASE}, patch {PATCH}, batch {BATCH}, {compute}")
    print_line(f"{'':24}{'ours ms':>10}{'nnU-Net ms':>12}{'ratio':>8}")
    for label, mine, theirs in (
        ("whole step", whole, peers_whole),
        ("network only", network, peers_network),
    ):
        a, b = (1000 * sorted(v)[len(v) // 2] / STEPS for v in (mine, theirs))
        print_line(f"{label:24}{a:10.0f}{b:12.0f}{b / a:8.1f}")
    share = ours.drawing / sum(whole)
    print_line(f"drawing and augmenting patches: {100 * share:.1f} % of a whole step")
    print_line(
        f"limit: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s of a matrix product, "
        f"{100 * rate / peak:.0f} %"
    )
    print_line(last_line("training_network", ratios(network, peers_network)))
    print_line(last_line("training", ratios(whole, peers_whole)))


def print_line(text: str) -> None:
    """To standard output."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
