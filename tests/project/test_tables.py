"""No name of a case or a structure is a formula in a spreadsheet."""

import csv
import io

import pytest

from segpipe.project.tables import table_text, unmarked


@pytest.mark.parametrize(
    "name",
    [
        "=HYPERLINK(A1)",
        "@SUM(A1)",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "\t=1",
        "\r=1",
        "\n=1",
    ],
)
def test_what_a_spreadsheet_would_compute_is_text_and_comes_back(name: str) -> None:
    """In a cell as in a header."""
    (header, row) = csv.reader(io.StringIO(table_text([name], [{name: name}]), ""))

    for cell in (*header, *row):
        assert cell == f"'{name}"
        assert unmarked(cell) == name


@pytest.mark.parametrize("cell", ["liver", "a=b", "a-b", "'a", "-1", "+2.5e-3", "é"])
def test_other_text_and_numbers_stay_as_they_are(cell: str) -> None:
    assert table_text(["case"], [{"case": cell}]) == f"case\n{cell}\n"
    assert unmarked(cell) == cell


def test_numbers_stay_numbers_and_missing_cells_are_empty() -> None:
    rows = [{"case": "a", "dice": -0.5, "n": -3}, {"case": "b,c"}]

    assert table_text(["case", "dice", "n"], rows) == (
        'case,dice,n\na,-0.5,-3\n"b,c",,\n'
    )
