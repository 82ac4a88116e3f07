from pathlib import Path

import pytest
import torch

from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.locate import SegmenterRecord
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.manifest import InputRecord
from segpipe.tools.segmenting.work import Work, build_work, case_key
from tests.support.segmenters import TUMOUR, make_plan, save_segmenter

RECORD = SegmenterRecord(name="m", version=None, digest="d", folds=("d",), run=None)
INPUTS = (InputRecord(name="a.nii", files=1, sha256="0"),)
ON_CPU = SegmentSettings(
    device="cpu", precision="fp32", skip_empty="never", coarse="never"
)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan()))
    return build_work(made, RECORD, SegmentSettings(mirror=True), tmp_path / "out")


def test_what_is_auto_is_resolved(work: Work) -> None:
    compute = work.inference.compute

    assert work.settings.device == compute.device.type
    assert work.settings.precision == compute.precision
    assert work.settings.skip_empty == "never"  # the plan knows nothing of it
    assert work.settings.mirror
    assert work.inference.mirror
    assert torch.get_num_threads() == work.settings.threads


def test_the_engine_is_resolved_and_named(tmp_path: Path) -> None:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan()))
    asked = ON_CPU.model_copy(update={"engine": "auto"})

    work = build_work(made, RECORD, asked, tmp_path / "out")

    assert work.settings.engine == "openvino"
    assert str(work.inference.compute) == "cpu, fp32, 1 threads, openvino"
    assert work.key(INPUTS) != case_key(INPUTS, RECORD, ON_CPU)


def test_instances_of_structures_that_overlap_are_refused(tmp_path: Path) -> None:
    made = Segmenter.load(save_segmenter(tmp_path / "m", make_plan(**TUMOUR)))
    with pytest.raises(DataError, match=r"--instances: .* leave the option out"):
        build_work(made, RECORD, SegmentSettings(instances=True), tmp_path / "out")

    build_work(made, RECORD, SegmentSettings(), tmp_path / "out")


def test_a_key_changes_with_inputs_segmenter_and_settings() -> None:
    keys = [
        case_key(INPUTS, RECORD, ON_CPU),
        case_key((*INPUTS, *INPUTS), RECORD, ON_CPU),
        case_key(INPUTS, RECORD.model_copy(update={"digest": "e"}), ON_CPU),
        case_key(INPUTS, RECORD, ON_CPU.model_copy(update={"memory_gb": 1.0})),
    ]

    assert len(set(keys)) == len(keys)


def test_a_key_is_the_one_that_older_manifests_hold() -> None:
    """The key was computed before the settings became one model."""
    assert case_key(INPUTS, RECORD, ON_CPU) == (
        "5e0ad780bd6e528b55951d8e62753cb370609c869e84e46f603c081b7bb5815d"
    )
