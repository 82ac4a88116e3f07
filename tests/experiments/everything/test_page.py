"""The page says what was seen, and nothing that was not."""

from pathlib import Path

from experiments.everything.page import build_rows, describe_total
from segpipe.project.documents import write_json

ROW = {
    "network": "monai/UNet",
    "parameters": 1234567,
    "width": 12,
    "patch": "64 x 56 x 64",
    "train": 12.4,
    "predict": 3.6,
    "evaluate": 0.9,
    "loss": 0.0123,
    "Dice": 0.25,
}


def test_a_system_is_a_row() -> None:
    head, rule, row = build_rows([ROW])

    assert head.count("|") == rule.count("|") == row.count("|")
    assert row == (
        "| `monai/UNet` | 1,234,567 | 12 | 64 x 56 x 64 | 12 | 4 | 1 | 0.0123 | 0.250 |"
    )


def test_the_whole_is_the_sum_of_its_stages(tmp_path: Path) -> None:
    report = tmp_path / "artifacts" / "report"
    report.mkdir(parents=True)
    (report / "index.html").write_bytes(bytes(2_500_000))
    write_json(tmp_path / "seconds.json", {"train@a-0": 170.0, "report": 10.0})

    assert describe_total(tmp_path) == (
        "2 stages in 3 CPU minutes, of which the report took 10 s; it has 2.5 MB."
    )
