"""Known values of the losses: spec of the papers, torch, MONAI."""

import math

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional as F

from segpipe.losses import LOSSES, cross_entropy, dice, dice_cross_entropy


def random_case(classes: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 4, 5, 3)
    logits = torch.randn(2, classes, 4, 5, 3, generator=generator, requires_grad=True)
    reference = torch.randint(0, classes, shape, generator=generator)
    weight = torch.rand(shape, generator=generator)
    return logits, reference, weight


def test_uniform_logits_cost_the_logarithm_of_the_classes() -> None:
    _, reference, weight = random_case()

    loss = cross_entropy(torch.zeros(2, 3, 4, 5, 3), reference, weight)

    assert loss.item() == pytest.approx(math.log(3), abs=1e-6)


def test_weights_of_zero_and_one_are_torchs_ignore_index() -> None:
    logits, reference, _ = random_case()
    known = torch.rand(reference.shape) < 0.5
    expected = F.cross_entropy(
        logits, torch.where(known, reference, -100), ignore_index=-100
    )

    loss = cross_entropy(logits, torch.where(known, reference, -1), known.float())

    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_class_weights_are_torchs_weighted_mean() -> None:
    logits, reference, _ = random_case()
    per_class = torch.tensor([0.2, 1.0, 3.0])
    expected = F.cross_entropy(logits, reference, weight=per_class)

    loss = cross_entropy(logits, reference, per_class[reference])

    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_voxel_of_weight_zero_has_no_gradient_and_no_say(name: str) -> None:
    logits, reference, weight = random_case()
    weight[:, :2] = 0
    other = reference.clone()
    other[:, :2] = (other[:, :2] + 1) % 3

    loss = LOSSES[name](logits, reference, weight)
    loss.backward()

    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, :, 2:] != 0).any()
    assert LOSSES[name](logits, other, weight).item() == loss.item()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_any_label_costs_nothing(name: str) -> None:
    logits, reference, weight = random_case()

    loss = LOSSES[name](logits, torch.full_like(reference, -1), weight * 0)
    loss.backward()

    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_dice_of_v_nets_example() -> None:
    """g = [1,1,0,0], p = [1,.5,.5,0] gives D = 6/7 with squares."""
    p = torch.tensor([1 - 1e-7, 0.5, 0.5, 1e-7], dtype=torch.float64)
    logits = torch.stack([torch.zeros(4).double(), torch.logit(p)]).float()
    reference = torch.tensor([1, 1, 0, 0]).reshape(1, 4, 1, 1)

    loss = dice(logits.reshape(1, 2, 4, 1, 1), reference, torch.ones(1, 4, 1, 1))

    assert loss.item() == pytest.approx(1 - 6 / 7, abs=1e-5)


def test_dice_is_monais_with_squares_over_the_batch() -> None:
    logits, reference, _ = random_case(classes=3)
    peer = DiceLoss(
        softmax=True,
        to_onehot_y=True,
        include_background=False,
        squared_pred=True,
        smooth_nr=0,
        smooth_dr=0,
        batch=True,
    )

    loss = dice(logits, reference, torch.ones(reference.shape))

    assert loss.item() == pytest.approx(
        peer(logits, reference[:, None]).item(), abs=1e-6
    )


def test_dice_has_the_gradient_of_the_paper() -> None:
    """dD/dp_j = 2 [g_j (P + G) - 2 p_j S] / (P + G)^2 for D = 2 S / (P + G)."""
    logits, reference, _ = random_case(classes=2)
    loss = dice(logits, reference, torch.ones(reference.shape))
    loss.backward()
    p = logits.detach().softmax(1)[:, 1].double()
    g = (reference == 1).double()
    total, shared = (p**2).sum() + g.sum(), (p * g).sum()
    by_p = -2 * (g * total - 2 * p * shared) / total**2

    expected = by_p * p * (1 - p)  # through the softmax of two classes

    torch.testing.assert_close(
        logits.grad[:, 1].double(), expected, atol=1e-8, rtol=1e-4
    )


def test_a_class_that_the_batch_lacks_is_left_out() -> None:
    logits, reference, weight = random_case(classes=3)
    two = torch.where(reference == 2, 0, reference)

    loss = dice(logits, two, weight)

    p = logits.detach().softmax(1)[:, 1]
    g = (two == 1).float()
    score = 2 * (p * g * weight).sum() / ((p**2 + g) * weight).sum()
    assert loss.item() == pytest.approx(1 - score.item(), abs=1e-5)


def test_the_combined_loss_is_the_sum() -> None:
    case = random_case()

    both = dice_cross_entropy(*case)

    assert both.item() == pytest.approx((dice(*case) + cross_entropy(*case)).item())
