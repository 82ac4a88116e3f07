from pathlib import Path

import pytest

from segpipe.errors import DataError
from segpipe.manifest import SegmenterRecord
from segpipe.segmenter import Segmenter
from segpipe.tools.attempting import attempt_case, describe_error
from segpipe.tools.case_lock import case_lock
from segpipe.tools.segmenting_case import Work
from segpipe.tools.studies import Study
from tests.segmenters import make_plan, save_segmenter
from tests.tools.test_segmenting import options, write_volume


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan()))
    record = SegmenterRecord(name="m", version=None, digest="d", folds=("d",), run=None)
    return Work(made, record, options(), tmp_path / "out")


def study(folder: Path) -> Study:
    write_volume(folder / "a.nii")
    return Study("a", (folder / "a.nii",))


def test_a_case_is_done_once_unless_forced(work: Work, tmp_path: Path) -> None:
    one = study(tmp_path)

    kinds = [attempt_case(one, work).kind for _ in range(2)]

    assert kinds == ["done", "finished"]
    assert attempt_case(one, work, force=True).kind == "done"


def test_a_case_that_another_run_holds_is_left_to_it(
    work: Work, tmp_path: Path
) -> None:
    one = study(tmp_path)

    with case_lock(work.output, "a"):
        outcome = attempt_case(one, work)

    assert outcome.kind == "elsewhere"
    assert not outcome.failed
    assert not (work.output / "a.json").exists()


def test_wrong_data_and_a_disk_that_fails_are_told_apart(
    work: Work, tmp_path: Path
) -> None:
    one = study(tmp_path)
    one.files[0].write_bytes(b"")
    data = attempt_case(one, work)
    one.files[0].unlink()
    system = attempt_case(one, work)

    assert (data.kind, system.kind) == ("data", "system")
    assert data.failed
    assert "found 0 bytes" in data.reason
    assert "FileNotFoundError" in system.reason


def test_an_error_is_one_line_without_the_places_of_dicom() -> None:
    one = Study("x", (Path("/store/DOE/1.dcm"),), fault="damaged")

    said = describe_error(one, OSError("cannot read\n/store/DOE/1.dcm"))

    assert said == "OSError: cannot read 1.dcm"
    assert describe_error(one, DataError("")) == "no reason was given"
