"""Every row of the literature is decided by a test that names it."""

import ast
import re

from docs.tables.rows import ROWS
from tests.support.places import ROOT

NAMED = re.compile(r"^\s*Seeds: ((?:[A-Z]\d+, )*[A-Z]\d+)\.$", re.M)
# Rows whose system is not in the code yet; each leaves when its test comes.
TO_COME: set[str] = set()


def rows_of_tests() -> dict[str, list[str]]:
    """The tests that name a row, by the row."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for rows in NAMED.findall(ast.get_docstring(node) or ""):
                    for row in rows.split(", "):
                        found.setdefault(row, []).append(f"{path.name}: {node.name}")
    return found


def test_every_row_is_named_by_a_test() -> None:
    """What is to come is named by none; where its test comes, it leaves the list."""
    named = set(rows_of_tests())

    assert ROWS.keys() - named == TO_COME
    assert named <= ROWS.keys()


def test_every_line_that_names_rows_is_read() -> None:
    """Another spelling would name nothing in silence."""
    lines = [
        f"{path.name}: {line.strip()}"
        for path in (ROOT / "tests").rglob("test_*.py")
        if path.name != "test_rows.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r'\s*(""")?Seeds: ', line)
        and not NAMED.match(line.replace('"""', ""))
        and not line.startswith('"""')
    ]

    assert not lines
