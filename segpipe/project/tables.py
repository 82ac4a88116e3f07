"""Tables: CSV that people open in a spreadsheet, in which no cell is a formula."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# A spreadsheet takes a cell that begins so for a formula, or splits it.
FORMULA = re.compile(r"[=@+\-\t\r\n]")
MARKED = re.compile(r"'[=@+\-\t\r\n]")


def table_text(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, end: str = "\n"
) -> str:
    """Text of a CSV file with a header; cells that are missing in a row are empty.

    Text that a spreadsheet would compute gets an apostrophe in front, as a person would
    type it; numbers stay numbers.

    Source:
        OWASP, CSV Injection.
    """
    marked = [[_marked(row.get(name, "")) for name in columns] for row in rows]
    return "".join(_line(cells) + end for cells in [map(_marked, columns), *marked])


def _line(cells: Iterable[Any]) -> str:
    """A line without its end; this line terminator makes csv quote both its halves."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def _marked(cell: Any) -> Any:
    if isinstance(cell, str) and FORMULA.match(cell) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell) is not None


def column_lines(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines of a table for a terminal: a header, then the rows, aligned to the left.

    Args:
        rows: Cells by the name of their column; the first row names all columns.
    """
    lines = [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def unmarked(cell: str) -> str:
    """The text of a cell as it was before the table was written."""
    return cell[1:] if MARKED.match(cell) else cell
