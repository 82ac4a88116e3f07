"""Plans are read as they were written, and other documents are refused."""

import json
from pathlib import Path

import pytest

from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import (
    PatchPlan,
    coarsest_axis,
    read_patch_plan,
    read_plan,
    write_plans,
)
from tests.support.segmenters import make_plan

PATCH = PatchPlan(
    format_version=1, patch_size=(64, 48, 1), batch_size=4, slice_axis=2, memory_gb=1.5
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_plans(tmp_path, make_plan(), {"dropped": PATCH})
    write_plans(tmp_path, make_plan(), {"vnet": PATCH})

    assert read_plan(tmp_path) == make_plan()
    assert read_patch_plan(tmp_path, "vnet") == PATCH
    assert [path.name for path in (tmp_path / "plan" / "patches").iterdir()] == [
        "vnet.json"
    ]


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


def test_slices_lie_across_the_coarsest_axis_and_the_last_of_equals() -> None:
    assert coarsest_axis(make_plan(spacing=(1.0, 3.0, 2.0))) == 1
    assert coarsest_axis(make_plan(spacing=(1.0, 1.0, 1.0))) == 2
    assert coarsest_axis(make_plan(spacing=(2.0, 1.0, 1.0), dimensions=2)) == 2
