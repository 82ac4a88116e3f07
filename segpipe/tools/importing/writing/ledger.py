"""Ledger: what the imports read of each file, dropped and assumed: data/import.json.

It has a line for each file of a source, and neither a time nor a folder outside it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document, write_text

LEDGER = "import.json"


class LedgerLine(Document):
    """What was done with one file of a source.

    Attributes:
        file: Path inside the source; for DICOM, whose names may be those of patients,
            only what it is.
        case: The case that it belongs to; empty if it is in none.
        read_as: What it was read as.
        wrote: The files of data/ that it went into.
        dropped: What it held that data/ does not hold.
        assumed: What was taken for granted, as no file says it.
    """

    file: str
    case: str
    read_as: str
    wrote: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


class Ledger(Document):
    """The lines of all imports into one data folder, in their order."""

    format_version: Literal[1]
    files: tuple[LedgerLine, ...]


def read_ledger(data: Path) -> tuple[LedgerLine, ...]:
    """Read the lines of the imports before; empty if none wrote a ledger.

    Raises:
        DataError: If the ledger is damaged.
    """
    path = data / LEDGER
    return Ledger.read(path).files if path.is_file() else ()


def write_ledger(data: Path, lines: Sequence[LedgerLine]) -> None:
    """Write the ledger with one line of text for each file."""
    rows = [json.dumps(line.model_dump(), ensure_ascii=False) for line in lines]
    text = ",\n".join(f"  {row}" for row in rows)
    write_text(data / LEDGER, f'{{"format_version": 1, "files": [\n{text}\n]}}\n')
