from pathlib import Path

from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.inbox import Inbox
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.inbox.report import NAMES, ROWS, InboxReport
from segpipe.tools.segmenting.manifest import Failure
from tests.support.segmentations import failure

RECORD = SegmenterRecord(
    name="liver", version="3", digest="d" * 64, folds=("a", "b"), run=None
)


def night(
    *outcomes: Outcome, known: tuple[Failure, ...] = (), output: Path = Path("/out")
) -> InboxReport:
    order = Order(
        folders=("/m",),
        record=RECORD,
        channels=1,
        settings=SegmentSettings(device="cpu", precision="fp32"),
        output=str(output),
    )
    return InboxReport(order, Inbox((), ("old",), known, ("new",)), outcomes)


def failed(case: str) -> Outcome:
    return Outcome(case=case, kind="data", reason=f"{case} is damaged; fetch it")


def test_the_sentence_counts_and_names() -> None:
    done = Outcome(case="a", kind="done")
    elsewhere = Outcome(case="b", kind="elsewhere")

    said = night(done, elsewhere, failed("c"), known=(failure("data"),)).headline()

    assert said == (
        "1 of 3 failed: c; 1 segmented; 1 finished before; 1 known failures; "
        "1 in another run; 1 still being written"
    )


def test_many_names_are_cut() -> None:
    said = night(*(failed(f"c{n}") for n in range(NAMES + 1))).headline()

    assert f"c{NAMES - 1}, …;" in said


def test_a_failure_is_a_row_with_its_mend_now_or_before() -> None:
    rows = night(failed("c"), known=(failure("late"),)).failures()

    assert [(row["case"], row["kind"]) for row in rows] == [
        ("c", "data"),
        ("x", "late"),
    ]
    assert rows[0]["reason"] == "c is damaged; fetch it"
    assert rows[1]["since"] == "2026-11-21T00:00:00+00:00"


def test_long_tables_end_with_what_is_left_out() -> None:
    rows = night(*(failed(f"c{n}") for n in range(ROWS + 7))).failures()

    assert len(rows) == ROWS + 1
    assert rows[-1] == {"case": "and 7 more"}


def test_a_result_that_was_moved_away_keeps_its_row(tmp_path: Path) -> None:
    done = Outcome(case="a", kind="done", seconds=1.26)

    assert night(done, output=tmp_path).results() == [{"case": "a", "seconds": 1.3}]


def test_the_summary_says_which_segmenter_and_where() -> None:
    said = night().summary()

    assert "liver, version 3, 2 folds" in said
    assert "`/out/volumes.csv`" in said
    assert "d" * 64 in said
