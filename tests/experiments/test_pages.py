"""The tables say what was found."""

from pathlib import Path

import pytest

from experiments import pages

FOUND = {
    "with": [{"merges": 10, "F1": 0.9}, {"merges": 14, "F1": 0.8}],
    "without": [{"merges": 20, "F1": 0.7}, {"merges": 22, "F1": 0.7}],
}

SERIES = {"3D": {1.0: [0.5, 0.4], 2.0: [0.6]}}


def test_a_table_has_mean_and_deviation_over_seeds() -> None:
    assert pages.build_table(FOUND) == [
        "| | merges | F1 |",
        "|---|---|---|",
        "| with | 12.0 ± 2.8 | 0.850 ± 0.071 |",
        "| without | 21.0 ± 1.4 | 0.700 ± 0.000 |",
    ]


def test_every_trial_stands_in_the_csv() -> None:
    assert pages.build_csv(FOUND).splitlines()[:3] == [
        "arm,seed,merges,F1",
        "with,1,10,0.9",
        "with,2,14,0.8",
    ]


def test_only_what_stands_between_the_marks_of_a_page_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    page = tmp_path / "try.md"
    page.write_text(f"before\n\n{pages.TABLE}\nold\n{pages.END}\n\nafter\n")

    pages.write_page("try", FOUND)
    pages.save_plot(
        "try",
        [
            pages.points(FOUND, "F1"),
            pages.lines(
                "curve", {"3D": {1.0: [0.5], 2.0: [0.6]}}, across="n", up="IoU"
            ),
        ],
    )

    text = page.read_text()
    assert text.startswith("before\n\n")
    assert text.endswith("\n\nafter\n")
    assert "old" not in text
    assert "| with | 12.0 ± 2.8 |" in text
    assert "| with |" in capsys.readouterr().out
    assert (tmp_path / "try.png").stat().st_size > 5000
