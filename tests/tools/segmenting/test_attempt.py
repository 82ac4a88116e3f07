import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.segmenter import Segmenter
from segpipe.tools.segmenting.attempt import (
    attempt_case,
    case_lock,
    describe_error,
    remove_parts,
)
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import Work, build_work
from tests.support.phantoms import write_volume
from tests.support.places import ROOT
from tests.support.segmentations import PLAIN
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan()))
    record = SegmenterRecord(name="m", version=None, digest="d", folds=("d",), run=None)
    return build_work(made, record, PLAIN, tmp_path / "out")


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


HOLD = """
import sys, time
from pathlib import Path
from segpipe.tools.segmenting.attempt import case_lock
with case_lock(Path(sys.argv[1]), "b/a") as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_one_of_two_holds_a_case_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        case_lock(tmp_path, "a") as first,
        case_lock(tmp_path, "a") as second,
        case_lock(tmp_path, "b") as other,
    ):
        held = (first, second, other)
    with case_lock(tmp_path, "a") as again:
        pass

    assert held == (True, False, True)
    assert again
    assert not list(tmp_path.iterdir())


def test_what_may_not_be_read_is_said_with_the_mend(tmp_path: Path) -> None:
    study = Study("a", (tmp_path / "a.nii",))
    error = PermissionError(13, "Permission denied", str(tmp_path / "a.nii"))

    told = describe_error(study, error)

    assert told.startswith(f"{tmp_path / 'a.nii'}: expected ")
    assert told.endswith(
        "found Permission denied; allow it to the user that runs segpipe"
    )


def test_a_killed_process_gives_its_case_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            with case_lock(tmp_path, "b/a") as during:
                pass
        finally:
            process.kill()
    with case_lock(tmp_path, "b/a") as after:
        pass

    assert (during, after) == (False, True)


def test_half_written_outputs_of_this_case_alone_are_removed(tmp_path: Path) -> None:
    ours = {
        ".a.nii.gz.part",
        ".a.json.part",
        ".a_probability_left-kidney.nii.gz.part",
        ".a_overlay.png.part",
    }
    others = {".ab.nii.gz.part", ".a_b.nii.gz.part", ".a.b", "a.nii.gz"}
    for name in ours | others:
        (tmp_path / name).touch()
    for name in (".a.part", ".ab.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.nii.gz").touch()

    remove_parts(tmp_path, "a")

    assert (tmp_path / ".ab.part" / "a.nii.gz").exists()
    others.add(".ab.part")

    assert {path.name for path in tmp_path.iterdir()} == others
