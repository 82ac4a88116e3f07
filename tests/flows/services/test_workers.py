"""One worker a GPU, and one that stands in where there is none."""

from pathlib import Path

import pytest

from flows.services.workers import build_workers, list_gpus

# Two cards, the second one divided, as nvidia-smi lists them.
LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-c6d4f1ef-42e4-7de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-7de3-91c7-45d71c87eb3f)
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nvidia-smi that lists two."""
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("cards")
def test_each_gpu_has_a_worker_of_its_own_that_sees_no_other(tmp_path: Path) -> None:
    cpu, *gpus = build_workers(tmp_path)

    assert (cpu.pool, cpu.environment) == ("cpu", {})
    assert [each.name for each in gpus] == ["gpu-0", "gpu-1"]
    assert [each.environment["CUDA_VISIBLE_DEVICES"] for each in gpus] == ["0", "1"]
    assert {each.limit for each in gpus} == {1}
    assert gpus[1].words[-4:] == ["--pool", "gpu", "--limit", "1"]
    assert gpus[1].environment["SEGPIPE_WORKSPACE"] == f"{tmp_path}/workspaces/gpu-1"


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("visible", "expected"), [("3,1", ["3", "1"]), ("", []), ("-1", [])]
)
def test_a_user_who_may_use_some_gpus_gets_workers_for_these(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert list_gpus() == expected


def test_without_a_gpu_one_worker_stands_in_and_is_not_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    _, *gpus = build_workers(tmp_path)

    assert [(each.name, each.pool) for each in gpus] == [("train-cpu", "gpu")]
    assert "CUDA_VISIBLE_DEVICES" not in gpus[0].environment
