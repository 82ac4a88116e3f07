"""Several processes are one larger one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segpipe.project.errors import DataError
from segpipe.training.distributed import World

STEP = """
import json, sys, torch
from segpipe.training.distributed import World
from segpipe.training.losses import LossParams, build_loss
from segpipe.networks.vnet import VNet

torch.set_num_threads(1)
world = World.join(torch.device("cpu"))
params = LossParams(
    name=sys.argv[1], reduction="mean", focal_gamma=2.0, focal_alpha=1.0,
    kept_fraction=1.0,
)
loss = build_loss(params, world.total)
torch.manual_seed(0)
network = VNet(1, 3, base_channels=2)
image, reference = torch.randn(4, 1, 16, 16, 16), torch.randint(0, 3, (4, 16, 16, 16))
weight = torch.rand(4, 16, 16, 16) * (torch.arange(4) > 1)[:, None, None, None]
mine = list(world.share_of(4))
value = loss(network(image[mine]), reference[mine], weight[mine])
value.backward()
world.add_gradients(network)
taken, over = 0, False
while not over:  # only the first process says when it is over
    taken += 1
    over = world.agree(taken == 3 if world.first else taken == 1, image.device)
assert taken == 3
if world.first:
    norm = sum(float(w.grad.square().sum()) for w in network.parameters()) ** 0.5
    print(json.dumps([value.item(), norm]))
world.leave()
"""


def step(tmp_path: Path, name: str, processes: int) -> list[float]:
    script = tmp_path / "step.py"
    script.write_text(STEP)
    launch = [sys.executable, str(script), name]
    if processes > 1:
        launch = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", str(script), name),
        ]
    done = subprocess.run(
        launch,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["dice_cross_entropy", "focal"])
def test_two_processes_have_the_loss_and_gradient_of_one(
    name: str, tmp_path: Path
) -> None:
    """Though one of them sees patches in which nothing counts."""
    assert step(tmp_path, name, 2) == pytest.approx(step(tmp_path, name, 1), rel=1e-5)


def test_a_process_alone_sees_all_and_adds_nothing() -> None:
    world, part = World.join(torch.device("cpu")), torch.ones(())

    assert world.first
    assert list(world.share_of(3)) == [0, 1, 2]
    assert world.total(part) is part


def test_patches_are_shared_evenly_or_not_at_all() -> None:
    assert [list(World(rank, 2).share_of(4)) for rank in (0, 1)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match=r"a multiple of 2, .*found 3"):
        World(0, 2).share_of(3)
