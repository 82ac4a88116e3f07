import os
import time
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import Outcome, attempt_case
from segpipe.tools.segmenting.inbox.inbox import Inbox, sort_inbox
from segpipe.tools.segmenting.inbox.order import Order, prepare_order
from segpipe.tools.segmenting.inbox.pool import write_failure
from segpipe.tools.segmenting.inbox.worker import STUDY, load_work
from tests.support.dicoms import SERIES, write_series
from tests.support.phantoms import write_volume
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def order(tmp_path: Path) -> Order:
    model = save_segmenter(tmp_path / "m", make_plan())
    for name in "abc":
        write_volume(tmp_path / "in" / f"{name}.nii.gz")
    settings = SegmentSettings(overlay=False)
    return prepare_order(str(model), tmp_path / "out", settings, Paths(tmp_path))


def look(order: Order, now: float | None = None, **changes) -> Inbox:
    given = {"settle_s": 30.0, "limit_s": 60.0, "retry_failed": False, **changes}
    inbox = Path(order.output).parent / "in"
    now = now or time.time() + 3600
    return sort_inbox([inbox], order, now=now, workers=2, **given)


def names(inbox: Inbox) -> list[str]:
    return [one.study.name for one in inbox.todo]


def fail(order: Order, case: str, kind: str = "data") -> None:
    (waiting,) = [one for one in look(order).todo if one.study.name == case]
    write_failure(waiting, Outcome(case=case, kind=kind, reason="r"), order, 60.0)


def test_finished_studies_are_left_out_until_they_change(order: Order) -> None:
    attempt_case(look(order).todo[0].study, load_work(order))

    assert look(order).finished == ("a",)
    assert names(look(order)) == ["b", "c"]
    write_volume(Path(order.output).parent / "in" / "a.nii.gz", seed=5)
    assert names(look(order)) == ["a", "b", "c"]


def test_other_settings_are_other_results(order: Order) -> None:
    attempt_case(look(order).todo[0].study, load_work(order))
    settings = order.settings.model_copy(update={"mirror": True})

    assert len(look(order.model_copy(update={"settings": settings})).todo) == 3


def test_known_failures_are_left_out_until_they_change(order: Order) -> None:
    fail(order, "b")

    assert [one.case for one in look(order).known] == ["b"]
    assert names(look(order)) == ["a", "c"]
    assert names(look(order, retry_failed=True)) == ["a", "b", "c"]
    write_volume(Path(order.output).parent / "in" / "b.nii.gz", seed=5)
    assert names(look(order)) == ["a", "b", "c"]


def test_a_failure_of_the_machine_is_tried_again(order: Order) -> None:
    fail(order, "b", "system")

    assert names(look(order)) == ["a", "b", "c"]


def test_a_study_with_one_young_file_waits(order: Order) -> None:
    os.utime(Path(order.output).parent / "in" / "b.nii.gz", (1000.0, 1000.0))

    now = (Path(order.output).parent / "in" / "a.nii.gz").stat().st_mtime + 5
    assert look(order, now=now, settle_s=1e6).growing == ("a", "c")
    assert names(look(order, now=now, settle_s=1e6)) == ["b"]
    assert not look(order, now=now, settle_s=0.0).growing


def test_a_bad_file_is_tried_by_name_and_stops_no_other(order: Order) -> None:
    """A link to nothing and names that no document can hold, in an old inbox."""
    inbox = Path(order.output).parent / "in"
    (inbox / "lost.nii").symlink_to(inbox / "nothing")
    (inbox / os.fsdecode(b"\xe4.nii")).write_bytes(b"x")
    for file in write_series(inbox / "series"):
        file.rename(file.with_name(file.name + os.fsdecode(b"\xe4")))

    found = look(order)
    outcomes = {
        one.study.name: attempt_case(STUDY.validate_json(STUDY.dump_json(one.study)), w)
        for w in [load_work(order)]
        for one in found.todo
    }

    assert {name for name, one in outcomes.items() if one.failed} == {
        "lost.nii",
        "\\xe4.nii",
        SERIES,
    }
    assert {"a", "b", "c"} < {*outcomes}
    assert "rename them" in outcomes[SERIES].reason
    assert "mend the link" in outcomes["lost.nii"].reason


def test_an_inbox_that_is_the_output_is_refused(order: Order) -> None:
    """Its three scans would be replaced by their masks."""
    inbox = Path(order.output).parent / "in"

    with pytest.raises(DataError, match="expected an output that is no input"):
        look(order.model_copy(update={"output": str(inbox)}))


def test_an_empty_inbox_holds_nothing(order: Order) -> None:
    for path in (Path(order.output).parent / "in").iterdir():
        path.unlink()

    assert look(order) == Inbox((), (), (), ())


def test_the_inbox_in_a_sentence(order: Order) -> None:
    assert str(look(order)) == (
        "3 studies to segment, 0 finished before, 0 known failures, 0 still being "
        "written"
    )
