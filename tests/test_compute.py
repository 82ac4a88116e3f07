import pytest
import torch

from segpipe.compute import ComputeParams, build_compute, memory_demanded
from segpipe.errors import DataError


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


def test_a_lack_of_memory_is_said_with_the_mend() -> None:
    with (
        pytest.raises(DataError, match="too small: lower batch_size"),
        memory_demanded("lower batch_size"),
    ):
        torch.empty(10**16)


def test_another_fault_is_not_called_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="size"), memory_demanded("lower it"):
        torch.zeros(2) @ torch.zeros(3)
