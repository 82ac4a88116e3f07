"""show: a record for people, with name, time and meaning of its signature.

Source:
    21 CFR 11.50: the printed name of the signer, date and time, and the meaning stand
    in the readable form of a signed record.
"""

import json
from pathlib import Path
from typing import Any

from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.verification import verify
from segpipe.approval.records import LIMIT_BYTES
from segpipe.project.documents import parse_json
from segpipe.project.errors import DataError

SHOWN = 12  # characters of a digest
LONG = 6  # values of a list that are shown


def show(number: int, root: Path) -> list[str]:
    """A record as lines, and whether it is believed.

    Raises:
        DataError: If there is no such record.
    """
    path = record_path(root, number)
    chain = verify(root)
    last = chain.head.number if chain.head is not None else 0
    if not path.is_file() or path.stat().st_size > LIMIT_BYTES:
        raise DataError(
            f"{path}: expected a record, found none; the records are 1 to {last}"
        )
    values = parse_json(path, path.read_bytes())
    faults = [one for one in chain.faults if one.startswith(f"{path}:")]
    lines = [
        f"record {number} of {last}, {path}",
        *_lines({} if not isinstance(values, dict) else values, ""),
    ]
    if faults:
        return [*lines, *(f"NOT BELIEVED: {one}" for one in faults)]
    if chain.faults:
        return [*lines, f"signature right; but the chain is broken: {chain.faults[0]}"]
    return [*lines, "signature right, the chain is whole"]


def _lines(values: dict[str, Any], lead: str) -> list[str]:
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _lines(value, f"{lead}{name}.")
        else:
            found.append(f"{lead + name:28} {_text(name, value)}")
    return found


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(_text(name, one) for one in value[:LONG]) or "none"
        return shown + f" and {len(value) - LONG} more" * (len(value) > LONG)
    if isinstance(value, str):
        if len(value) >= 64 and " " not in value:
            return f"{value[:SHOWN]}…"
        # Names and reasons are a person's words: nothing in them moves the cursor.
        return json.dumps(value, ensure_ascii=False)[1:-1]
    return "none" if value is None else str(value)
