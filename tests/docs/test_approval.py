"""The attacks that the docs list are those that tests make."""

import ast
import re

import pytest

from tests.support.places import ROOT

TEXT = (ROOT / "docs/concepts/approval.md").read_text(encoding="utf-8")
HELD = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
ATTACKS = [line for line in TEXT.splitlines() if re.match(r"\|.*`tests/.*::", line)]


@pytest.mark.parametrize(("file", "name"), HELD)
def test_a_test_that_the_docs_name_is_there(file: str, name: str) -> None:
    """A test, or an attack of a table of attacks."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {
        node.name if isinstance(node, ast.FunctionDef) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.Name)
    }

    assert name in names


def test_sixteen_attacks_are_counted() -> None:
    assert "Sixteen attacks" in TEXT
    assert len(ATTACKS) == 16
