"""review.yaml is complete, explained and strict."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from segpipe.approval.protocol import (
    protocol_file,
    read_protocol,
    reviews_root,
    write_protocol,
)
from segpipe.project.errors import DataError


def test_a_project_without_a_protocol_has_none(tmp_path: Path) -> None:
    assert read_protocol(tmp_path) is None


def test_the_written_protocol_asks_for_nothing_and_explains_every_value(
    tmp_path: Path,
) -> None:
    lines = write_protocol(tmp_path).read_text().splitlines()

    protocol = read_protocol(tmp_path)
    assert protocol is not None
    assert not protocol.policy.require
    assert protocol.policy.approvals == {"lead": 1}
    for before, line in pairwise(lines):
        if re.match(r"  \w+: ", line) and not line.startswith(
            ("  ohif", "  reference")
        ):
            assert before.strip().startswith("#"), line
    with pytest.raises(DataError, match="expected no file yet, found one"):
        write_protocol(tmp_path)


def test_the_bounds_in_the_comments_are_those_of_the_formula(tmp_path: Path) -> None:
    text = write_protocol(tmp_path).read_text()

    for n, percent in re.findall(r"(\d+) cases (\d+\.\d) %", text):
        assert 100 * (1 - 0.05 ** (1 / int(n))) == pytest.approx(
            float(percent), abs=0.05
        )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("require: false", "require: maybe", "policy.require: Input should be a valid"),
        ("require: false", "", "policy.require: Field required"),
        ("worst: 10", "worst: 0", "cases.worst: Input should be greater than 0"),
        ("random: 30", "random: 0", "cases.random: Input should be greater than 0"),
        ("{lead: 1}", "{king: 1}", "policy.approvals.king"),
        ("{lead: 1}", "{}", "policy.approvals: Dictionary should have at least 1"),
        (
            "format_version: 1",
            "format_version: 2",
            "expected format_version: 1, found 2",
        ),
        ("webhook: null", "webhook: null\nmore: 1", "more: Extra inputs"),
        ("ohif: null", "ohif: javascript:alert(1)", "links.ohif: .*https:// or slicer"),
        ("slicer: null", "slicer: file:///etc/{case}", "links.slicer: .*http://"),
        ("ohif: null", "ohif: 'https://x/{patient}'", "links.ohif: .*the only field"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = write_protocol(tmp_path)
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(DataError, match=words):
        read_protocol(tmp_path)


def test_the_digest_is_of_the_rules_and_not_of_links_and_comments(
    tmp_path: Path,
) -> None:
    path = write_protocol(tmp_path)
    text = path.read_text()

    def digest(changed: str) -> str:
        path.write_text(changed)
        found = read_protocol(tmp_path)
        assert found is not None
        return found.digest

    before = digest(text)
    assert digest(text + "# more\n") == before
    assert digest(text.replace("webhook: null", "webhook: https://x")) == before
    assert digest(text.replace("slicer: null", "slicer: slicer://x")) == before
    assert digest(text.replace("random: 30", "random: 29")) != before


def test_another_projects_records_are_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reviews_root(tmp_path) == tmp_path
    folder = tmp_path / "other" / "reviews"
    monkeypatch.setenv("SEGPIPE_REVIEWS", str(folder))
    with pytest.raises(DataError, match="expected the folder reviews of a project"):
        reviews_root(tmp_path)

    folder.mkdir(parents=True)
    assert reviews_root(tmp_path) == tmp_path / "other"
    assert protocol_file(reviews_root(tmp_path)).parent == tmp_path / "other"
