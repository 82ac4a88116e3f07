"""Weights are read as they were written, and known by their digests."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segpipe.project.errors import DataError
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec.document import SegmenterSpec
from segpipe.segmenter.spec.weights import (
    ensemble_digest,
    predictions_digest,
    read_networks,
)
from tests.support.segmenters import make_plan, save_segmenter

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_one_weight_that_is_not_finite_is_refused_by_name(
    tmp_path: Path, value: float
) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "weights-0.safetensors"
    weights = load_file(file)
    name = sorted(weights)[3]
    weights[name].view(-1)[-1] = value
    assert torch.isfinite(weights[name]).sum() == weights[name].numel() - 1
    save_file(weights, file)

    with pytest.raises(DataError, match=f"expected finite weights.*{name}"):
        Segmenter.load(tmp_path)


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
