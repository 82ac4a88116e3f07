from pathlib import Path

import pytest

from segpipe.errors import DataError
from segpipe.manifest import InputRecord, Manifest, SegmenterRecord, manifest_path

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
