from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.tools.segmenting.manifest import (
    InputRecord,
    Manifest,
    failure_path,
    forget_failure,
    manifest_path,
    read_failure,
)
from tests.support.segmentations import failure

MANIFEST = Manifest(
    format_version=1,
    case="a",
    made="2026-01-01T00:00:00+00:00",
    key="k",
    inputs=(InputRecord(name="a.nii", files=1, sha256="0" * 64),),
    outputs={"a.nii": "1" * 64},
    segmenter=SegmenterRecord(
        name="m", version=None, digest="2" * 64, folds=("2" * 64,), run=None
    ),
    settings={"overlap_fraction": 0.5, "threads": 2, "mirror": False, "device": "cpu"},
    segpipe={"version": "0.1.0"},
    device="cpu, fp32, 2 threads",
    shape=(1, 2, 3),
    spacing=(1.0, 1.0, 2.5),
    unit="mm",
    orientation="LPS",
    voxels={"liver": 3},
    volumes_ml={"liver": 0.0075},
    seconds={"network": 1.5},
    warnings=(),
)


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = manifest_path(tmp_path / "deep", "folder/a")

    MANIFEST.write(path)

    assert path == tmp_path / "deep" / "folder" / "a.json"
    assert Manifest.read(path) == MANIFEST


def test_another_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format_version": 1}')

    with pytest.raises(DataError, match="expected a Manifest"):
        Manifest.read(tmp_path / "a.json")


@pytest.mark.parametrize("kind", ["data", "killed", "late"])
def test_what_would_fail_again_is_not_tried_until_something_changes(kind: str) -> None:
    assert failure(kind).holds("k", limit_s=60.0)
    assert not failure(kind).holds("other", limit_s=60.0)


@pytest.mark.parametrize("kind", ["system", "error"])
def test_what_may_pass_is_tried_again(kind: str) -> None:
    assert not failure(kind).holds("k", limit_s=60.0)


def test_more_time_is_another_try() -> None:
    assert not failure("late").holds("k", limit_s=61.0)


def test_a_failure_is_found_again_and_forgotten(tmp_path: Path) -> None:
    failure("data").write(failure_path(tmp_path, "x"))

    assert read_failure(tmp_path, "x") == failure("data")
    forget_failure(tmp_path, "x")
    assert read_failure(tmp_path, "x") is None


def test_the_manifest_of_a_case_that_is_called_so_is_left_alone(
    tmp_path: Path,
) -> None:
    failure_path(tmp_path, "x").write_text('{"case": "x.failed"}')

    forget_failure(tmp_path, "x")

    assert read_failure(tmp_path, "x") is None
    assert failure_path(tmp_path, "x").exists()
