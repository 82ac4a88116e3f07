import os
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.case import record_inputs
from segpipe.tools.segmenting.inbox.order import (
    Order,
    prepare_order,
    workers_at_once,
)
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import build_work
from tests.support.phantoms import write_volume
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def order(tmp_path: Path) -> Order:
    model = save_segmenter(tmp_path / "m", make_plan(channels=("T1", "T2")))
    settings = SegmentSettings(spacing_mm=(0.5, 0.25))
    return prepare_order(str(model), tmp_path / "out", settings, Paths(tmp_path))


def test_an_order_reaches_a_process_whole(order: Order) -> None:
    again = Order.model_validate_json(order.model_dump_json())

    assert again == order
    assert again.settings.to_json() == order.settings.to_json()
    assert order.channels == 2


def test_what_is_auto_is_resolved_once(order: Order) -> None:
    assert order.settings.device in ("cpu", "cuda")
    assert order.settings.precision in ("fp32", "bf16")


def test_a_case_has_the_key_that_the_command_line_gives_it(
    order: Order, tmp_path: Path
) -> None:
    write_volume(tmp_path / "a.nii")
    inputs = record_inputs(Study("a", (tmp_path / "a.nii",)))
    segmenter, record = load_segmenter(str(tmp_path / "m"), Paths(tmp_path))
    work = build_work(segmenter, record, order.settings, tmp_path)

    assert order.key(inputs) == work.key(inputs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_refuses_is_said_before_the_night(tmp_path: Path) -> None:
    model = save_segmenter(tmp_path / "m", make_plan())
    (tmp_path / "out").mkdir(mode=0o500)

    with pytest.raises(DataError, match="change its rights"):
        prepare_order(str(model), tmp_path / "out", SegmentSettings(), Paths(tmp_path))


def test_threads_do_not_outnumber_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    one = SegmentSettings(device="cpu", threads=1)
    all_of_them = SegmentSettings(device="cpu", threads=cores)

    assert workers_at_once(0, one) == cores
    assert workers_at_once(0, all_of_them) == 1
    assert workers_at_once(0, SegmentSettings(device="cuda")) == 1
    assert workers_at_once(3, one) == 3
