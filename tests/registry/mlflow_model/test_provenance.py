"""Provenance tells who is new to a segmenter, without listing names."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.provenance import (
    FILE,
    Provenance,
    patient_digest,
    read_provenance,
)

MADE = Provenance(
    format_version=1,
    model="m",
    digest="d",
    patients=(patient_digest("smith"),),
    data=None,
    lock=None,
    commit=None,
    dirty=False,
    metrics={},
)


def test_a_patient_is_known_by_a_digest_and_not_by_name(tmp_path: Path) -> None:
    MADE.write(tmp_path / "segmenter" / FILE)

    found = read_provenance(tmp_path)

    assert found.knows("smith")
    assert not found.knows("jones")
    assert "smith" not in (tmp_path / "segmenter" / FILE).read_text()


def test_a_folder_without_provenance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one provenance"):
        read_provenance(tmp_path)
