"""What a worker says of its machine before it trains."""

import os
from pathlib import Path

import pytest
from prefect import flow

from flows.train import find_workspace, keep_checkpoints, say_device, train
from segpipe.project.errors import DataError

PARAMS = """\
format_version: 1
compute: {device: auto, precision: fp32, threads: 1, workers: 0, compile: false}
"""
pytestmark = pytest.mark.usefixtures("prefect_api")


@flow(name="says")
def says(workspace: Path) -> str:
    return say_device(workspace)


def test_a_promised_gpu_that_is_not_there_is_an_error_and_not_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 names no device of any machine that runs the tests."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "77")
    (tmp_path / "params.yaml").write_text(PARAMS)

    with pytest.raises(DataError, match="CUDA_VISIBLE_DEVICES=77: expected a GPU"):
        says(tmp_path)


def test_who_asks_for_the_processor_gets_it_on_a_gpu_worker_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "77")
    text = PARAMS.replace("device: auto", "device: cpu")
    (tmp_path / "params.yaml").write_text(text)

    assert says(tmp_path) == "cpu, fp32, 1 threads"


def test_each_worker_has_a_workspace_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGPIPE_WORKSPACE", str(tmp_path / "gpu-1"))

    assert find_workspace() == tmp_path / "gpu-1"


@pytest.mark.parametrize(
    ("own", "project", "expected"),
    [
        (None, True, "liver/.checkpoints"),
        ("/shared/checkpoints", True, "/shared/checkpoints"),
        (None, False, None),  # an address, or a repository without files
    ],
)
def test_workers_share_the_checkpoints_of_the_project_or_the_users(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    project: bool,
    expected: str | None,
) -> None:
    """A training whose worker was lost goes on in the clone of another."""
    monkeypatch.setenv("SEGPIPE_CHECKPOINTS", own or "")
    if own is None:
        monkeypatch.delenv("SEGPIPE_CHECKPOINTS")
    (tmp_path / "liver").mkdir()
    if project:
        (tmp_path / "liver" / "dvc.yaml").touch()

    keep_checkpoints(str(tmp_path / "liver"))

    place = None if expected is None else str(tmp_path / expected)
    assert os.environ.pop("SEGPIPE_CHECKPOINTS", None) == place


@pytest.mark.parametrize(
    ("commit", "stage"), [("--upload-pack=true", "train@m-0"), ("a" * 40, "--force")]
)
def test_words_that_git_or_dvc_would_take_for_options_are_refused(
    commit: str, stage: str
) -> None:
    with pytest.raises(DataError, match="expected a stage train@MODEL-FOLD"):
        train(repository="nowhere", commit=commit, stage=stage)
