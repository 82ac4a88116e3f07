from pathlib import Path

import pytest

from segpipe.manifest import InputRecord
from segpipe.tools.failures import (
    Failure,
    failure_path,
    forget_failure,
    read_failure,
)


def failure(kind: str, **changes) -> Failure:
    given = {"case": "x", "limit_s": 60.0, **changes}
    return Failure(
        format_version=1,
        made="2026-11-21T00:00:00+00:00",
        key="k",
        inputs=(InputRecord(name="x.nii", files=1, sha256="0"),),
        kind=kind,
        reason="r",
        **given,
    )


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
