"""The loader: which share of a training step draws and augments its patches.

    python -m benchmarks.loader [--rounds 5] [--steps 4]

A 2-D U-Net as in the preset nuclei, on images of 256 x 256, and a 3D U-Net as in the
preset hippocampus, on volumes of 48 x 48 x 32, both written to a temporary folder. CPU
seconds of one thread, so that other work on the machine changes little: of drawing
(cases are chosen, patches cut), of augmenting (which runs where the network does), and
of the step itself. A training draws ahead in a thread (compute.workers), so that a step
waits for patches only where drawing takes longer than all else.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.cases import prepare
from segpipe.images.grid import Triple
from segpipe.planning.params import PlanParams
from segpipe.planning.sides.assignment import SplitParams
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import ComputeParams, build_compute
from segpipe.stages import annotate, plan, preprocess, split, verify, weigh
from segpipe.training.distributed import World
from segpipe.training.step import augment_patches, draw_patches, train_step
from segpipe.training.task.build import Task, build_task
from segpipe.training.task.section import TrainParams
from segpipe.training.task.start import start_or_resume

CASES = 40
SHAPES = {"unet2d": (256, 256, 1), "unet3d": (48, 48, 32)}
Result = TypeVar("Result")


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    given = parser.parse_args()
    for network, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as name:
            task = build(Path(name), network, shape)
            torch.set_num_threads(1)
            rounds = measure(task, given.rounds, given.steps)
        size = " x ".join(map(str, task.patch.patch_size))
        print(f"{network}, {task.patch.batch_size} patches of {size}: CPU ms a step")
        for part in ("draw", "augment", "step"):
            print(f"  {part:8}{_row([1000 * one[part] for one in rounds])}")
        shares = [100 * one["draw"] / sum(one.values()) for one in rounds]
        both = [100 * (1 - one["step"] / sum(one.values())) for one in rounds]
        print(
            f"  drawing  {_row(shares)} %; with augmenting {_row(both)} %", flush=True
        )


def build(folder: Path, network: str, shape: Triple) -> Task:
    """Run the stages before training on synthetic cases, and build its task."""
    prepare(folder, CASES, shape)
    paths = Paths(folder)
    document = read_params(paths.params)

    def section(name: str, kind: Any) -> Any:
        return parse_section(kind, document[name], where=name)

    params = parse_section(TrainParams, document["train"][network], where=network)
    verify.run(section("verify", verify.VerifyParams), networks={}, paths=paths)
    split.run(section("split", SplitParams), paths=paths)
    models = {network: params}
    plan.run(section("plan", PlanParams), models=models, paths=paths)
    preprocess.run(section("preprocess", preprocess.PreprocessParams), paths=paths)
    annotate.run(section("annotate", annotate.AnnotateParams), paths=paths)
    weigh.run(section("weigh", weigh.WeighParams), paths=paths)
    compute = build_compute(section("compute", ComputeParams))
    return build_task(params, network, 0, compute, paths, "benchmark", World())


def measure(task: Task, rounds: int, steps: int) -> list[dict[str, float]]:
    """CPU seconds a step of each part, round by round, after one to warm up."""
    progress, found = start_or_resume(task), []
    for turn in range(rounds + 1):
        spent = {"draw": 0.0, "augment": 0.0, "step": 0.0}
        for step in range(turn * steps, (turn + 1) * steps):
            drawn = _spend(spent, "draw", partial(draw_patches, task, (0, 0, 0), step))
            patches = _spend(spent, "augment", partial(augment_patches, task, drawn))
            learn = partial(train_step, task, progress, step, patches)
            _spend(spent, "step", learn)
        found.append({part: value / steps for part, value in spent.items()})
    return found[1:]


def _spend(spent: dict[str, float], part: str, work: Callable[[], Result]) -> Result:
    began = time.process_time()
    result = work()
    spent[part] += time.process_time() - began
    return result


def _row(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.1f} (min {min(values):.1f}, max {max(values):.1f})"


if __name__ == "__main__":
    main()
