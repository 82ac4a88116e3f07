"""The folder of a segmenter is read as it was written, and known by its digests."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segpipe.images.values import Legend
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.segmenter.rules.outputs import Outputs
from segpipe.segmenter.rules.postprocessing import StructureRule
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    SegmenterSpec,
    ensemble_digest,
    predictions_digest,
    read_networks,
)
from tests.support.segmenters import TUMOUR, make_plan, save_segmenter

NAN, INF = float("nan"), float("inf")


def assert_refused(folder: Path, place: tuple[str | int, ...], value: float) -> None:
    """The error names the file and the number; as it was, the spec is read."""
    idle = StructureRule(keep_largest=False, smallest_mm3=0.0, fill_holes=False)
    save_segmenter(folder, make_plan(), postprocessing=(idle, idle))
    assert Segmenter.load(folder)
    document = json.loads((folder / "spec.json").read_text())
    owner = document
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = value
    (folder / "spec.json").write_text(json.dumps(document))

    with pytest.raises(DataError, match=r"spec\.json.*" + re.escape(str(place[-1]))):
        Segmenter.load(folder)


def contact_of(legend: Legend) -> Outputs:
    return Outputs(legend, "contact")


THREE = Legend(("background", "cell", "nucleus"), (0, 2, 5), None)


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


@pytest.mark.parametrize("value", [0.0, -1.0, NAN, INF, -INF])
@pytest.mark.parametrize(
    "place",
    [
        ("temperatures", 0),
        ("plan", "spacing", 2),
        ("plan", "fingerprint", "spacings", 0, 1),
    ],
)
def test_a_divisor_that_is_not_above_0_is_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: float
) -> None:
    assert_refused(tmp_path, place, value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("patch_size", 0), 0),
        (("network", "base_channels"), 0),
        (("network", "in_channels"), -1),
        (("plan", "fingerprint", "median_prepared_shape", 1), 0),
        (("plan", "normalization", 0, "mean"), NAN),
        (("plan", "normalization", 0, "standard_deviation"), -1.0),
        (("plan", "fingerprint", "class_frequencies", 0), -0.5),
        (("plan", "fingerprint", "intensities", 0, 2), INF),
        (("postprocessing", 0, "smallest_mm3"), -1.0),
        (("postprocessing", 0, "smallest_mm3"), NAN),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: float
) -> None:
    assert_refused(tmp_path, place, value)


def test_a_spec_from_before_overlap_is_of_classes_and_stays_as_it_is(
    tmp_path: Path,
) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "spec.json"
    before = file.read_bytes()
    assert b"unions" not in before

    spec = SegmenterSpec.read(file)
    spec.write(file)

    assert not spec.outputs.overlap
    assert spec.outputs.channels == spec.network.out_channels == 3
    assert file.read_bytes() == before


def test_a_spec_says_which_values_structures_unite(tmp_path: Path) -> None:
    file = save_segmenter(tmp_path, make_plan(**TUMOUR)) / "spec.json"

    spec = SegmenterSpec.read(file)
    said = json.loads(file.read_text())["plan"]["unions"]

    assert said == {"values": [[1, 4, 2], [4, 2], [4]], "order": [1, 2, 4]}
    assert spec.outputs.overlap
    assert spec.outputs.channels == spec.network.out_channels == 3


def test_a_target_with_contact_is_written_without_it() -> None:
    outputs = contact_of(THREE)
    target = np.array([0, 1, 2, 3, -1]).reshape(-1, 1, 1)

    shares = torch.from_numpy(outputs.encode(target))[None]

    assert outputs.decode(shares).flatten().tolist() == [0, 1, 2, 1, 0]


def test_a_spec_without_instances_has_the_bytes_of_before(tmp_path: Path) -> None:
    file = save_segmenter(tmp_path, make_plan()) / "spec.json"

    assert not {"target", "instances"} & json.loads(file.read_text()).keys()
    assert SegmenterSpec.read(file).target == "labels"
    assert SegmenterSpec.read(file).instances == ()


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
