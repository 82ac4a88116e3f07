"""The process by itself; test_pool.py has the tests of a pool."""

import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.order import Order, prepare_order
from segpipe.tools.segmenting.inbox.worker import STUDY, load_work
from segpipe.tools.segmenting.studies import find_studies
from tests.support.dicoms import SERIES, write_series
from tests.support.places import ROOT
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def order(tmp_path: Path) -> Order:
    model = save_segmenter(tmp_path / "m", make_plan())
    settings = SegmentSettings(overlay=False)
    return prepare_order(str(model), tmp_path / "out", settings, Paths(tmp_path))


@pytest.mark.slow
def test_it_segments_and_ends_with_its_owner(order: Order, tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    (study,) = find_studies([tmp_path / "in"], channels=1, output=tmp_path / "out")
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "segpipe.tools.segmenting.inbox.worker"]
    with subprocess.Popen(
        [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=ROOT
    ) as process:
        try:
            theirs.close()
            ours.send_bytes(order.model_dump_json().encode())
            assert ours.poll(120), "no segmenter was loaded"
            refusal = ours.recv_bytes()
            ours.send_bytes(STUDY.dump_json(study))
            assert ours.poll(120), "nothing was segmented"
            outcome = Outcome.model_validate_json(ours.recv_bytes())
            ours.close()
            status = process.wait(30)
        finally:
            process.kill()

    assert refusal == b""
    assert (outcome.case, outcome.kind) == (SERIES, "done")
    assert (tmp_path / "out" / f"{SERIES}.dcm").is_file()
    assert status == 1


def test_a_study_reaches_the_process_whole(tmp_path: Path) -> None:
    write_series(tmp_path)
    (study,) = find_studies([tmp_path], channels=1, output=tmp_path / "out")

    assert STUDY.validate_json(STUDY.dump_json(study)) == study


def test_a_folder_that_is_not_shared_is_said(order: Order) -> None:
    gone = order.model_copy(update={"folders": ("/nowhere/segmenter",)})

    with pytest.raises(DataError, match="under the same path, on shared storage"):
        load_work(gone)
