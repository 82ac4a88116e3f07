"""Several processes are one larger one."""

import json
from pathlib import Path

import pytest
import torch

from segpipe.networks.maskrcnn import MaskRCNN
from segpipe.networks.vnet import VNet
from segpipe.project.errors import DataError
from segpipe.training.distributed import World
from segpipe.training.losses import LossParams, build_loss
from tests.support import forks
from tests.support.servers import free_port


def step(name: str, file: Path) -> None:
    """A step on this process's share of four patches; the first writes what it found.

    What counts lies in the last two patches alone.
    """
    torch.set_num_threads(1)
    world = World.join(torch.device("cpu"))
    params = LossParams.model_validate(
        {
            "name": name,
            "reduction": "mean",
            "focal_gamma": 2.0,
            "focal_alpha": 1.0,
            "kept_fraction": 1.0,
        }
    )
    loss = build_loss(params, world.total)
    torch.manual_seed(0)
    network = VNet(1, 3, base_channels=2)
    image = torch.randn(4, 1, 16, 16, 16)
    reference = torch.randint(0, 3, (4, 16, 16, 16))
    counts = (torch.arange(4) > 1)[:, None, None, None]
    weight = torch.rand(4, 16, 16, 16) * counts
    mine = list(world.share_of(4))
    value = loss(network(image[mine]), reference[mine], weight[mine])
    value.backward()
    world.add_gradients(network)
    taken, over = 0, False
    while not over and taken < 9:  # only the first process says when it is over
        taken += 1
        over = world.agree(taken == 3 if world.first else taken == 1, image.device)
    assert taken == 3
    if world.first:
        gradients = (w.grad for w in network.parameters() if w.grad is not None)
        norm = sum(float(one.square().sum()) for one in gradients) ** 0.5
        file.write_text(json.dumps([value.item(), norm]))
    world.leave()


@pytest.mark.parametrize("name", ["dice_cross_entropy", "focal"])
def test_two_processes_have_the_loss_and_gradient_of_one(
    name: str, tmp_path: Path
) -> None:
    """Though one of them sees patches in which nothing counts.

    They are told of each other as torchrun tells them; tests/stages/test_train.py has
    torchrun itself.
    """
    step(name, tmp_path / "alone")
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    world["MASTER_PORT"] = str(free_port())
    forks.finish(
        *(
            forks.start(step, name, tmp_path / "two", RANK=str(rank), **world)
            for rank in range(2)
        )
    )
    alone, two = (json.loads((tmp_path / one).read_text()) for one in ("alone", "two"))

    assert two == pytest.approx(alone, rel=1e-5)


def step_of_regions(first: int, file: Path) -> None:
    """A step of Mask R-CNN on this process's share of four patches.

    Three objects lie in one patch and one in the next; the others have none. Batches
    have other statistics than their parts, so normalization is that in use.

    Args:
        first: The patch with three objects.
        file: Where the first process writes its loss and gradients.
    """
    torch.set_num_threads(1)
    world = World.join(torch.device("cpu"))
    torch.manual_seed(0)
    network = MaskRCNN(1, 3, base_channels=2).eval()
    reference = torch.zeros(4, 32, 32, dtype=torch.int64)
    reference[first, 2:12, 2:12], reference[first, 16:30, 4:12] = 1, 2
    reference[first, 4:12, 18:30] = reference[first + 1, 8:20, 8:20] = 1
    image = reference[:, None] + 0.1 * torch.randn(4, 1, 32, 32)
    mine = list(world.share_of(4))
    known = torch.ones(len(mine), 32, 32)
    value = network.loss(
        image[mine], reference[mine], known, seeds=mine, total=world.total
    )
    value.backward()
    world.add_gradients(network)
    if world.first:
        found = {name: w.grad for name, w in network.named_parameters()}
        torch.save({"loss": value.detach(), **found}, file)
    world.leave()


@pytest.mark.parametrize("first", [0, 2])
def test_two_processes_learn_mask_r_cnn_as_one_where_one_sees_no_object(
    first: int, tmp_path: Path
) -> None:
    """Each patch draws by its own seed; sums and counts go over both processes."""
    step_of_regions(first, tmp_path / "alone")
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    world["MASTER_PORT"] = str(free_port())
    forks.finish(
        *(
            forks.start(step_of_regions, first, tmp_path / "two", RANK=rank, **world)
            for rank in "01"
        )
    )
    alone, two = (torch.load(tmp_path / one) for one in ("alone", "two"))

    torch.testing.assert_close(two, alone, rtol=1e-3, atol=1e-5)
    assert all(torch.isfinite(value).all() for value in alone.values())
    assert alone["masks.layers.0.weight"].any()


def test_a_process_alone_sees_all_and_adds_nothing() -> None:
    world, part = World.join(torch.device("cpu")), torch.ones(())

    assert world.first
    assert list(world.share_of(3)) == [0, 1, 2]
    assert world.total(part) is part


def test_patches_are_shared_evenly_or_not_at_all() -> None:
    assert [list(World(rank, 2).share_of(4)) for rank in (0, 1)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match=r"a multiple of 2, .*found 3"):
        World(0, 2).share_of(3)
