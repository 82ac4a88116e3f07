import subprocess
import sys

import pytest
import torch

from segpipe.training.optimization import (
    OptimizerParams,
    average_weights,
    build_optimizer,
    learning_rate,
)


def params(**changes) -> OptimizerParams:
    values = {
        "name": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.99,
        "nesterov": False,
        "weight_decay": 0.0,
        "schedule": "poly",
        "drop_interval": 20,
        "clip_norm": 0.0,
    }
    return OptimizerParams(**{**values, **changes})


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", 0.1),
        ("poly", 0.1 * 0.5**0.9),
        ("cosine", 0.05),
        ("drop", 0.001),
    ],
)
def test_the_learning_rate_half_way(schedule: str, expected: float) -> None:
    rate = learning_rate(params(schedule=schedule), step=50, steps=100)

    assert rate == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "poly", "cosine", "drop"])
def test_the_first_step_has_the_full_rate(schedule: str) -> None:
    assert learning_rate(params(schedule=schedule), step=0, steps=9) == 0.1


def test_momentum_is_the_papers_velocity() -> None:
    """Two equal gradients g: the second step is (1 + 0.99) g, as in Caffe's SGD.

    Seeds: N7.
    """
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(params(), [weight])
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()

    assert float(weight.detach()) == pytest.approx(-0.1 * (1 + 1.99))


def test_adamw_takes_its_first_step_of_the_learning_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(params(name="adamw", momentum=0.9), [weight])
    weight.grad = torch.full((1,), 7.0)
    optimizer.step()

    assert float(weight.detach()) == pytest.approx(-0.1, rel=1e-5)


def test_the_average_forgets_the_first_weights_as_its_share_says() -> None:
    """After many equal weights w the average is w; a step moves it by 1 - share."""
    network, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 1.0)
    torch.nn.init.constant_(average.weight, 0.0)

    average_weights(average, network, share=0.9, step=1000)
    assert average.weight.item() == pytest.approx(0.1)
    average_weights(average, network, share=0.9, step=1001)
    assert average.weight.item() == pytest.approx(1 - 0.9**2)


def test_early_on_the_average_is_nearly_the_weights() -> None:
    """At the first step the past counts for 1/10, at the ninth for 9/18."""
    network, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 1.0)
    for step, expected in ((0, 0.9), (8, 0.5)):
        torch.nn.init.constant_(average.weight, 0.0)
        average_weights(average, network, share=0.99, step=step)
        assert average.weight.item() == pytest.approx(expected)


def test_an_average_of_nothing_leaves_no_trace_in_the_section() -> None:
    """Records and fingerprints of trainings without it stay what they were."""
    assert "ema" not in params().model_dump(mode="json")
    assert params(ema=0.99).model_dump(mode="json")["ema"] == 0.99


def test_the_average_has_what_batch_normalization_counted() -> None:
    network, average = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
    network(torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)))

    average_weights(average, network, share=0.9, step=0)

    assert network.running_mean is not None
    assert average.running_mean is not None
    assert network.running_mean.any()
    assert torch.equal(average.running_mean, network.running_mean)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"nesterov": True, "momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD),
        ({"name": "adamw", "momentum": 0.9, "weight_decay": 0.1}, torch.optim.AdamW),
    ],
)
def test_its_steps_and_its_state_are_those_of_torchs_own(
    given: dict[str, object], kind: type[torch.optim.Optimizer]
) -> None:
    """To the last bit, also where the state is kept and loaded half way."""
    made = params(**given)
    settings = {"lr": 0.1, "weight_decay": 0.1}
    own = (
        {"momentum": 0.9, "nesterov": True}
        if kind is torch.optim.SGD
        else {"betas": (0.9, 0.999)}
    )

    def train(build) -> tuple[torch.Tensor, str]:
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 7))
        optimizer = build(weight)
        for step in range(6):
            if step == 3:
                state, optimizer = optimizer.state_dict(), build(weight)
                optimizer.load_state_dict(state)
            optimizer.zero_grad(set_to_none=True)
            (weight.sin() * (step + 1)).square().sum().backward()
            optimizer.step()
        return weight.detach(), str(optimizer.state_dict())

    weight, state = train(lambda one: build_optimizer(made, [one]))
    expected, known = train(lambda one: kind([one], **settings, **own))

    assert torch.equal(weight, expected)
    assert state == known


def test_no_training_imports_the_compiler_that_it_does_not_use() -> None:
    """It takes a second of each process: settings and steps leave it alone."""
    code = (
        "import sys, torch\n"
        "from segpipe.segmenter.compute import ComputeParams, build_compute\n"
        "from segpipe.training.optimization import OptimizerParams, build_optimizer\n"
        "build_compute(ComputeParams(device='cpu', precision='fp32', threads=1,"
        " workers=0, compile=False, engine='torch'))\n"
        "weight = torch.nn.Parameter(torch.zeros(1))\n"
        f"made = OptimizerParams(**{params().model_dump()!r})\n"
        "optimizer = build_optimizer(made, [weight])\n"
        "weight.sum().backward()\n"
        "optimizer.step()\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
