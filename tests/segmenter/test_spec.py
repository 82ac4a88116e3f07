import hashlib
import json
from pathlib import Path

import pytest

from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.segmenter.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    SegmenterSpec,
    ensemble_digest,
    predictions_digest,
    read_networks,
)
from tests.support.segmenters import make_plan, save_segmenter


def test_only_rules_that_do_something_count(tmp_path) -> None:
    idle = StructureRule(keep_largest=False, smallest_mm3=0.0, fill_holes=False)
    busy = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=False)
    save_segmenter(tmp_path, make_plan(), postprocessing=(idle, busy))

    assert Segmenter.load(tmp_path).spec.rules == {7: busy}


def test_what_was_written_is_read_under_the_keys_of_older_segmenters(
    tmp_path: Path,
) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "spec.json"

    document = json.loads(file.read_text())
    assert document["plan"]["fingerprint"]["cases"] == 4
    assert SegmenterSpec.read(file).plan == make_plan()


def test_an_older_spec_has_no_postprocessing(tmp_path: Path) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "spec.json"
    document = json.loads(file.read_text())
    del document["postprocessing"]
    write_json(file, document)

    assert SegmenterSpec.read(file).rules == {}


def test_another_format_is_refused(tmp_path: Path) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "spec.json"
    write_json(file, json.loads(file.read_text()) | {"format_version": 2})

    with pytest.raises(DataError, match="format_version"):
        SegmenterSpec.read(file)


def test_a_single_fold_is_known_by_its_own_digest_and_several_by_all() -> None:
    assert ensemble_digest(["a"]) == "a"
    assert len({ensemble_digest(n) for n in (["a", "b"], ["b", "a"], ["a"])}) == 3


def test_predictions_keep_the_digest_that_they_were_written_with() -> None:
    """It is the SHA-256 of the JSON list, also for a single fold."""
    of_one = hashlib.sha256(b'["a"]').hexdigest()

    assert predictions_digest(["a"]) == of_one
    assert predictions_digest(["a", "b"]) == ensemble_digest(["a", "b"])


def test_a_huge_header_of_weights_is_refused_before_it_is_parsed(
    tmp_path: Path,
) -> None:
    """The first 8 bytes of a safetensors file are the size of its JSON header."""
    folder = save_segmenter(tmp_path, make_plan())
    header = b"{" + b" " * 10_000_000 + b"}"
    weights = folder / "weights-0.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header)

    with pytest.raises(DataError, match="found 10000002; fetch the weights again"):
        read_networks(folder, SegmenterSpec.read(folder / "spec.json"))
