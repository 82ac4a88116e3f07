"""The tables say what was found."""

from pathlib import Path
from typing import Any

import pytest

from experiments import pages
from experiments.trials import PAIRS

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


def trials(shift: float, *, patients: int) -> list[dict[str, Any]]:
    """Two seeds; every patient has two cases."""
    return [
        {
            "Dice": 0.5,
            PAIRS: [[f"p{n // 2}", 0.5 + shift + n / 999] for n in range(2 * patients)],
        }
        for _ in range(2)
    ]


def test_arms_are_compared_by_patient_and_not_by_seed_or_case() -> None:
    arms = {"with": trials(0.1, patients=6), "without": trials(0.0, patients=6)}
    text = pages.build_differences(arms)
    assert text[-1] == (
        "| with against without | 6 | +0.100 | +0.100 to +0.100 | with |"
    )

    few = {"with": trials(0.1, patients=3), "without": trials(0.0, patients=3)}
    assert pages.build_differences(few)[-1] == (
        "| with against without | 3 | +0.100 | too few patients | \N{EN DASH} |"
    )
    assert "it needs 6 patients." in text[1]
    assert pages.build_table(arms)[0] == "| | Dice |"
    assert pages.build_csv(arms).startswith("arm,seed,Dice\n")


def test_an_arm_of_one_seed_is_compared_with_the_mean_of_the_other() -> None:
    """Shifts of 0, .1 and .2 against .3 are differences of -.2 on the average."""
    one = trials(0.3, patients=6)[:1]
    three = [trials(shift, patients=6)[0] for shift in (0.0, 0.1, 0.2)]

    last = pages.build_differences({"three": three, "one": one})[-1]

    assert last == "| three against one | 6 | -0.200 | -0.200 to -0.200 | one |"


def test_arms_of_other_patients_and_trials_that_name_none_are_not_compared() -> None:
    assert pages.build_differences(FOUND) == []
    one, other = trials(0, patients=6), trials(0, patients=7)
    assert pages.build_differences({"a": one, "b": other}) == []


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


def test_a_single_trial_has_no_deviation_and_a_count_no_decimals() -> None:
    assert pages.mean_and_sd([0.5]) == "0.500"
    assert pages.mean_and_sd([329]) == "329"
