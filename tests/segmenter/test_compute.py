import sys
from collections.abc import Iterator

import pytest
import torch

from segpipe.project.errors import DataError
from segpipe.segmenter.compute import (
    Compute,
    ComputeParams,
    Stopwatch,
    build_compute,
    memory_demanded,
)


def build(**changes):
    return build_compute(
        ComputeParams(
            **{
                "device": "cpu",
                "precision": "fp32",
                "threads": 2,
                "workers": 0,
                "compile": False,
                **changes,
            }
        )
    )


def test_what_is_asked_for_is_what_runs() -> None:
    compute = build(precision="bf16")

    assert str(compute) == "cpu, bf16, 2 threads"
    assert torch.get_num_threads() == 2
    with compute.autocast():
        assert torch.is_autocast_enabled("cpu")
    with build().autocast():
        assert not torch.is_autocast_enabled("cpu")


def test_auto_is_a_pure_function_of_the_device() -> None:
    first, second = build(precision="auto"), build(precision="auto")
    has_bf16 = torch.cpu.get_capabilities().get("avx512_bf16", False)

    assert first == second
    assert first.precision == ("bf16" if has_bf16 else "fp32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_promised_gpu_that_is_missing_is_never_silently_the_cpu() -> None:
    with pytest.raises(DataError, match="expected a CUDA device, found none"):
        build(device="cuda")

    assert build(device="auto").device.type == "cpu"


def test_params_without_an_engine_have_torch_and_their_old_digest() -> None:
    given = {"device": "cpu", "precision": "fp32", "threads": 2, "workers": 0}

    params = ComputeParams(**given, compile=False)

    assert params.model_dump() == {**given, "compile": False}
    assert build_compute(params) == Compute(torch.device("cpu"), "fp32", 2)
    assert build().to_json().keys() == {"device", "precision", "threads", "compile"}


def test_the_engine_follows_from_params_and_device() -> None:
    openvino = build(engine="openvino")

    assert build(engine="auto") == openvino
    assert str(openvino) == "cpu, fp32, 2 threads, openvino"
    assert str(openvino.to_json()["engine"]).startswith("openvino 20")
    assert openvino.of_training() == build()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_openvino_is_refused_on_a_gpu() -> None:
    with pytest.raises(DataError, match="expected the device cpu"):
        build(engine="openvino", device="cuda")

    assert build(engine="auto", device="cuda").engine == "torch"


def test_a_missing_openvino_is_said_with_the_mend(monkeypatch) -> None:
    """Python itself marks an absent module by None in sys.modules."""
    monkeypatch.setitem(sys.modules, "openvino", None)

    for engine in ("openvino", "auto"):
        with pytest.raises(DataError, match=r"pip install 'segpipe\[openvino\]'"):
            build(engine=engine)
    assert build(engine="torch").engine == "torch"


def test_a_lack_of_memory_is_said_with_the_mend() -> None:
    with (
        pytest.raises(DataError, match="too small: lower batch_size"),
        memory_demanded("lower batch_size"),
    ):
        torch.empty(10**16)


def test_another_fault_is_not_called_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="size"), memory_demanded("lower it"):
        torch.zeros(2) @ torch.zeros(3)


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_outer_phase_stands_still_while_the_inner_one_runs() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def inner() -> Iterator[int]:
        clock.now += 5
        yield 1

    def outer() -> Iterator[int]:
        clock.now += 2
        yield from watch.of("inner", inner())
        clock.now += 1

    items = list(watch.of("outer", outer()))

    assert items == [1]
    assert watch.seconds == {"inner": 5, "outer": 3}


def test_time_outside_all_phases_belongs_to_none() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    with watch.phase("a"):
        clock.now += 1
    clock.now += 10
    with watch.phase("b"):
        clock.now += 2

    assert watch.seconds == {"a": 1, "b": 2}


def test_a_phase_that_fails_ends() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    try:
        with watch.phase("a"):
            clock.now += 1
            raise KeyError
    except KeyError:
        clock.now += 4

    assert watch.seconds == {"a": 1}
