"""Known values of the losses: spec of the papers, torch, MONAI."""

import math

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional as F

from segpipe.training.losses import (
    Loss,
    LossParams,
    build_loss,
    cross_entropy,
    dice,
    focal,
    keep_some,
    supervise,
)

NAMES = ("cross_entropy", "dice", "dice_cross_entropy", "focal")


def build(name: str, *, reduction: str = "mean") -> Loss:
    return build_loss(
        LossParams.model_validate(
            {
                "name": name,
                "reduction": reduction,
                "focal_gamma": 2.0,
                "focal_alpha": 0.5,
                "kept_fraction": 1.0,
            }
        )
    )


def random_case(classes: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 4, 5, 3)
    logits = torch.randn(2, classes, 4, 5, 3, generator=generator, requires_grad=True)
    reference = torch.randint(0, classes, shape, generator=generator)
    weight = torch.rand(shape, generator=generator)
    return logits, reference, weight


def test_uniform_logits_cost_the_logarithm_of_the_classes() -> None:
    """Seeds: L1."""
    _, reference, weight = random_case()

    uniform = torch.zeros(2, 3, 4, 5, 3)
    loss = cross_entropy(uniform, reference, weight, reduction="mean")

    assert loss.item() == pytest.approx(math.log(3), abs=1e-6)


def test_weights_of_zero_and_one_are_torchs_ignore_index() -> None:
    logits, reference, _ = random_case()
    known = torch.rand(reference.shape) < 0.5
    expected = F.cross_entropy(
        logits, torch.where(known, reference, -100), ignore_index=-100
    )

    labelled = torch.where(known, reference, -1)
    loss = cross_entropy(logits, labelled, known.float(), reduction="mean")

    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_class_weights_are_torchs_weighted_mean() -> None:
    """Seeds: F10, L2."""
    logits, reference, _ = random_case()
    per_class = torch.tensor([0.2, 1.0, 3.0])
    expected = F.cross_entropy(logits, reference, weight=per_class)

    weight = per_class[reference]
    loss = cross_entropy(logits, reference, weight, reduction="mean")

    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_voxel_of_weight_zero_has_no_gradient_and_no_say(name: str) -> None:
    """Seeds: N8, L2."""
    logits, reference, weight = random_case()
    weight[:, :2] = 0
    other = reference.clone()
    other[:, :2] = (other[:, :2] + 1) % 3

    loss = build(name)(logits, reference, weight)
    loss.backward()

    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, :, 2:] != 0).any()
    assert build(name)(logits, other, weight).item() == loss.item()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_label_costs_nothing(name: str) -> None:
    logits, reference, weight = random_case()

    loss = build(name)(logits, torch.full_like(reference, -1), weight * 0)
    loss.backward()

    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_dice_of_v_nets_example() -> None:
    """g = [1,1,0,0], p = [1,.5,.5,0] gives D = 6/7 with squares.

    Seeds: N12, L5.
    """
    p = torch.tensor([1 - 1e-7, 0.5, 0.5, 1e-7], dtype=torch.float64)
    logits = torch.stack([torch.zeros(4).double(), torch.logit(p)]).float()
    reference = torch.tensor([1, 1, 0, 0]).reshape(1, 4, 1, 1)

    loss = dice(logits.reshape(1, 2, 4, 1, 1), reference, torch.ones(1, 4, 1, 1))

    assert loss.item() == pytest.approx(1 - 6 / 7, abs=1e-5)


def test_dice_is_monais_with_squares_over_the_batch() -> None:
    """Seeds: L5."""
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
    """dD/dp_j = 2 [g_j (P + G) - 2 p_j S] / (P + G)^2 for D = 2 S / (P + G).

    Seeds: N12, L5.
    """
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

    both = build("dice_cross_entropy")(*case)

    assert both.item() == pytest.approx(
        (dice(*case) + build("cross_entropy")(*case)).item()
    )


def test_the_sum_is_the_mean_times_all_weights() -> None:
    """Seeds: L1, L2."""
    logits, reference, weight = random_case()
    mean, total = (
        cross_entropy(logits, reference, weight, reduction=how)
        for how in ("mean", "sum")
    )

    assert total.item() == pytest.approx((mean * weight.sum()).item(), rel=1e-5)


def test_focal_without_focus_is_cross_entropy() -> None:
    """Seeds: L3."""
    case = random_case()
    found = focal(*case, gamma=0.0, alpha=1.0, reduction="mean")

    assert found.item() == cross_entropy(*case, reduction="mean").item()


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 1.0), (5.0, 2.0)])
def test_focal_is_its_formula(gamma: float, alpha: float) -> None:
    """Seeds: L3."""
    logits, reference, weight = random_case()
    p = logits.softmax(1).gather(1, reference[:, None])[:, 0]
    each = -alpha * (1 - p) ** gamma * p.log()
    found = focal(logits, reference, weight, gamma=gamma, alpha=alpha, reduction="mean")

    expected = (each * weight).sum() / weight.sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_focal_is_the_papers_example() -> None:
    """Lin 2017, section 3.2: gamma 2 makes p = 0.9 count a hundredth of its CE.

    Seeds: L3.
    """
    logits = torch.tensor([0.0, math.log(9.0)]).reshape(1, 2, 1, 1, 1)
    reference = torch.ones(1, 1, 1, 1, dtype=torch.long)
    weight = torch.ones(1, 1, 1, 1)
    with_focus = focal(
        logits, reference, weight, gamma=2.0, alpha=1.0, reduction="mean"
    )
    plain = cross_entropy(logits, reference, weight, reduction="mean")

    assert with_focus.item() == pytest.approx(plain.item() / 100, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_has_a_gradient_even_where_all_is_right(gamma: float) -> None:
    logits = torch.tensor([-80.0, 80.0]).reshape(1, 2, 1, 1, 1).requires_grad_()
    reference = torch.ones(1, 1, 1, 1, dtype=torch.long)
    focal(
        logits,
        reference,
        torch.ones(1, 1, 1, 1),
        gamma=gamma,
        alpha=1.0,
        reduction="sum",
    ).backward()

    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def chances() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(2)]


def test_loss_sampling_keeps_its_share_and_its_expectation() -> None:
    """Shelhamer 2017: terms left out at random, without a change on average.

    Seeds: F9.
    """
    weight = torch.full((2, 40, 40, 40), 0.5)
    kept = keep_some(weight, 0.25, chances())

    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert (kept > 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert kept.mean().item() == pytest.approx(0.5, rel=0.02)
    again = keep_some(weight, 0.25, chances())
    assert torch.equal(kept, again)
    assert keep_some(weight, 1.0, chances()) is weight


@pytest.mark.parametrize(
    "fault", [{"kept_fraction": 0.0}, {"focal_alpha": 0.0}, {"focal_gamma": -1.0}]
)
def test_values_without_a_meaning_are_refused(fault: dict[str, float]) -> None:
    values = {
        "name": "focal",
        "reduction": "mean",
        "focal_gamma": 2.0,
        "focal_alpha": 1.0,
        "kept_fraction": 1.0,
    }

    with pytest.raises(ValueError, match=next(iter(fault))):
        LossParams.model_validate(values | fault)


TRUTH = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=torch.bool)


def nested_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of three nested structures, classes, weight, and each one's presence."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, 3, generator=generator)
    reference = torch.randint(-1, 4, (2, 4, 5, 3), generator=generator)
    weight = torch.rand(reference.shape, generator=generator) * (reference >= 0)
    present = torch.stack([reference >= least for least in (1, 2, 3)], dim=1)
    return logits, reference, weight, present.float()


def test_the_cross_entropy_of_structures_that_overlap_is_torchs() -> None:
    logits, reference, weight, present = nested_case()
    each = F.binary_cross_entropy_with_logits(
        logits, present, weight[:, None].expand_as(logits), reduction="sum"
    )

    summed = cross_entropy(logits, reference, weight, reduction="sum", truth=TRUTH)
    mean = cross_entropy(logits, reference, weight, reduction="mean", truth=TRUTH)

    assert summed.item() == pytest.approx(each.item() / 3, rel=1e-5)
    assert mean.item() == pytest.approx(each.item() / 3 / weight.sum().item(), rel=1e-5)


def test_the_dice_of_structures_that_overlap_is_the_mean_of_each_alone() -> None:
    """A structure alone is a class against the background: sigmoid(x) = softmax."""
    logits, reference, weight, present = nested_case()
    alone = [
        dice(
            torch.stack([torch.zeros_like(logits[:, n]), logits[:, n]], dim=1),
            torch.where(reference < 0, -1, present[:, n].long()),
            weight,
        ).item()
        for n in range(3)
    ]

    found = dice(logits, reference, weight, truth=TRUTH)

    assert found.item() == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_the_focal_loss_of_structures_that_overlap_is_the_papers() -> None:
    logits, reference, weight, present = nested_case()
    p = torch.sigmoid(logits.double())
    right = torch.where(present > 0, p, 1 - p)
    each = -0.5 * (1 - right) ** 2 * right.log()

    found = focal(
        logits, reference, weight, gamma=2.0, alpha=0.5, reduction="sum", truth=TRUTH
    )

    expected = (each.mean(1) * weight).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_annotated_trains_no_structure(name: str) -> None:
    logits, reference, weight, _ = nested_case()
    params = LossParams(
        name=name, reduction="mean", focal_gamma=2.0, focal_alpha=1.0, kept_fraction=1.0
    )
    loss = build_loss(params, truth=TRUTH)
    logits.requires_grad_()

    loss(logits, reference, weight).backward()

    assert logits.grad is not None
    unknown = (reference < 0)[:, None].expand_as(logits)
    assert not logits.grad[unknown].any()
    assert logits.grad[~unknown].any()


def test_deep_supervision_halves_the_say_of_each_level_and_leaves_the_lowest_out() -> (
    None
):
    """Levels of 1, 2 and 4 voxels in one cost 1, 2 and 4: (1 + 2 / 2) / (1 + 1 / 2)."""
    reference = torch.zeros(1, 8, 8, 4, dtype=torch.int64)
    levels = [torch.zeros(1, 2, 8 // n, 8 // n, max(1, 4 // n)) for n in (1, 2, 4)]

    def loss(logits, reference, weight) -> torch.Tensor:
        assert logits.shape[2:] == reference.shape[1:] == weight.shape[1:]
        return torch.tensor(8.0 / logits.shape[2])

    cost = supervise(loss, levels, reference, torch.ones(1, 8, 8, 4))
    assert cost.item() == pytest.approx((1 + 2 / 2) / (1 + 1 / 2))
    only = supervise(loss, levels[:1], reference, torch.ones(1, 8, 8, 4))
    assert only.item() == 1


def test_a_level_sees_the_voxels_at_the_middle_of_its_own() -> None:
    """A block of class 1 that fills the lower half is the lower half at each level."""
    reference = torch.zeros(1, 8, 8, 6, dtype=torch.int64)
    reference[:, 4:] = 1
    levels = []
    for shape in ((8, 8, 6), (4, 4, 6), (2, 2, 3)):  # an axis may stay as it is
        logits = torch.zeros(1, 2, *shape)
        logits[:, 1, shape[0] // 2 :] = 100
        logits[:, 0, : shape[0] // 2] = 100
        levels.append(logits)

    right = supervise(build("dice_cross_entropy"), levels, reference, reference + 1.0)
    wrong = supervise(
        build("dice_cross_entropy"), levels, 1 - reference, reference * 1.0
    )
    assert right.item() == pytest.approx(0, abs=1e-6)
    assert wrong.item() > 1


def test_without_an_annotated_voxel_at_a_level_the_loss_is_finite() -> None:
    logits, reference, _ = random_case()
    weight = torch.zeros(reference.shape)
    weight[0, 0, 0, 0] = 1
    levels = [logits, logits[:, :, ::2, :, :], logits[:, :, ::4]]

    loss = supervise(build("dice_cross_entropy"), levels, reference, weight)
    loss.backward()

    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
