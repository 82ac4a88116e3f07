"""What is told of a comparison: the worst first, and no names on a server."""

from pathlib import Path

from segpipe.registry.gate.comparison import Comparison
from segpipe.registry.gate.judge import refuse
from tests.support.comparisons import (
    CANDIDATE,
    CHAMPION,
    RULE,
    compared,
    pair,
    shifted,
)


def test_the_worst_come_first() -> None:
    pairs = [pair("a", 0.3, 0.2), pair("b", 0.5, 0.9), pair("c", 0.4, 0.5)]
    found = compared(pairs)

    assert [one.case for one in found.worst] == ["a", "c", "b"]
    assert [one.case for one in found.losses] == ["b", "c"]


def test_markdown_names_no_case_and_survives_any_name() -> None:
    pairs = [*shifted([-0.1, 0.0, 0.1], "a|b"), pair("smith", 0.0, None)]
    found = compared(pairs, left_out={"jones": "the champion knows the patient"})
    text = found.markdown()

    assert "smith" not in text
    assert "jones" not in text
    assert "case 4, liver: 0.000 against – (-1.000)" in text  # noqa: RUF001
    assert "a\\|b" in text
    assert "1 test cases left out: the champion knows the patient" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    assert any("smith, liver" in line for line in found.lines())


def test_a_comparison_comes_back_from_its_file(tmp_path: Path) -> None:
    found = compared([*shifted([-0.1, 0.0, 0.1]), pair("healthy", None, None)])
    refused = refuse(CANDIDATE, CHAMPION, RULE, ("Nothing new.",))
    for one in (found, refused):
        one.write(tmp_path / "comparison.json")

        assert Comparison.read(tmp_path / "comparison.json") == one

    assert not refused.accepted
    assert refused.lines() == ["new against old: not accepted", "Nothing new."]
