"""Each file that a stage writes has one owner: no other module knows its name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import ROOT

# Module to the files below artifacts/ and data/ that it alone writes and reads.
OWNERS = {
    "dataset/case.py": {"cases.json"},
    "dataset/case_files.py": {"predictions.json"},
    "dataset/prepared.py": {
        "counts.json",
        "counts.npy",
        "grid.json",
        "image.npy",
        "index.json",
        "instances.npy",
        "label.npy",
        "region.json",
        "shares.json",
    },
    "dataset/split.py": {"split.json", "split.lock"},
    "evaluation/figures.py": {"cases.csv", "confusion.csv", "metrics.json"},
    "evaluation/report/page.py": {"figures.csv", "index.html", "key.csv"},
    "segmenter/plan.py": {"plan.json"},
    "segmenter/spec.py": {"spec.json"},
    "tools/importing/writing/ledger.py": {"import.json"},
    "training/record.py": {"coarse_history.csv", "fingerprint.json", "history.csv"},
}
# Files that are named after a case, a model, a fold or a picture, and their owners.
NAMED = {
    r"case_\d+\.npy": "dataset/prepared.py",
    r"case_\d+\.nii": "dataset/case_files.py",
    r"(good|poor)\.json": "segmenter/plan.py",
    r"(weights|coarse)-\d\.safetensors": "segmenter/spec.py",
    r"(border|separation|levels)-[23]d\.(npy|json)": "dataset/prepared.py",
    r"\w+\.png": "evaluation/report/page.py",
}
FILES = {file: owner for owner, files in OWNERS.items() for file in files}
# It runs where there is no segpipe, beside a copy of the spec.
ELSEWHERE = {"tools/exporting/runner.py"}
MODULES = [
    path
    for folder in ("segpipe", "flows")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT)).removeprefix("segpipe/")


def strings(path: Path) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and id(node) not in prose:
            yield value


def known_to(path: Path) -> set[str]:
    """The files of FILES that a module names."""
    words = {word for text in strings(path) for word in re.findall(r"[\w.-]+", text)}
    return {word.strip(".") for word in words} & FILES.keys()


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_a_module_names_no_file_but_its_own(path: Path) -> None:
    if short(path) not in ELSEWHERE:
        assert known_to(path) == OWNERS.get(short(path), set())


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_only_owners_know_what_lies_in_the_folder_of_a_stage(path: Path) -> None:
    """``artifacts / "train"`` is a stage's folder; what is below has an owner."""
    owners = {*OWNERS, *NAMED.values()}
    below = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and re.search(r"artifacts / [^/]+ / ", ast.unparse(node))
    ]

    assert not below or short(path) in owners


def test_every_file_that_the_stages_write_has_an_owner(trained: Path) -> None:
    names = {path.name for path in (trained / "artifacts").rglob("*") if path.is_file()}

    assert len(names) > 20
    assert not [
        name
        for name in names - FILES.keys()
        if not any(re.fullmatch(pattern, name) for pattern in NAMED)
    ]
