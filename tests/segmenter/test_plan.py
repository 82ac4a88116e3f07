"""Plans are read as they were written, and other documents are refused."""

import json
from pathlib import Path

import pytest

from segpipe.dataset.split import Fold, Split, read_split
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import PatchPlan, read_patch_plan, read_plan
from tests.support.segmenters import make_plan

PATCH = PatchPlan(
    format_version=1, patch_size=(64, 48, 1), batch_size=4, slice_axis=2, memory_gb=1.5
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    split = Split(
        format_version=1, test=("c",), folds=(Fold(training=("a",), validation=("b",)),)
    )
    PATCH.write(tmp_path / "plan" / "patches" / "vnet.json")
    split.write(tmp_path / "split" / "split.json")

    assert read_patch_plan(tmp_path, "vnet") == PATCH
    assert read_split(tmp_path) == split


def test_another_format_is_refused_with_a_clear_word(tmp_path: Path) -> None:
    document = PATCH.model_dump(mode="json") | {"format_version": 2}
    write_json(tmp_path / "plan" / "patches" / "vnet.json", document)

    with pytest.raises(DataError, match=r"vnet\.json.*format_version"):
        read_patch_plan(tmp_path, "vnet")


def test_before_plan_the_mend_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_plan(tmp_path)


def test_the_profile_keeps_its_key_in_the_file(tmp_path: Path) -> None:
    """Plans and segmenters that were written before have the key fingerprint."""
    plan = make_plan()
    plan.write(tmp_path / "plan" / "plan.json")

    document = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert "profile" not in document
    assert document["fingerprint"]["cases"] == plan.profile.cases
    assert list(document)[-1] == "fingerprint"
    assert read_plan(tmp_path) == plan
