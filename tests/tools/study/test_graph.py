"""What a new graph makes stale is what DVC itself says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.origin.commit import locked_stages
from segpipe.project.params import read_params
from segpipe.tools.study.graph import find_changes, parse_graph

BEFORE = """\
stages:
  command: {cmd: echo 1 > o1, outs: [o1]}
  more_deps: {cmd: echo 1 > o2, deps: [x], outs: [o2]}
  fewer_deps: {cmd: echo 1 > o3, deps: [x, y], outs: [o3]}
  more_params: {cmd: echo 1 > o4, params: [a], outs: [o4]}
  fewer_params: {cmd: echo 1 > o5, params: [a, b], outs: [o5]}
  more_outs: {cmd: "echo 1 > o6; echo 1 > p6", outs: [o6]}
  fewer_outs: {cmd: "echo 1 > o7; echo 1 > p7", outs: [o7, p7]}
  uncached: {cmd: echo 1 > o8, outs: [o8]}
  metric: {cmd: echo 1 > o9, outs: [o9]}
  same: {cmd: echo 1 > o10, deps: [x], params: [a], metrics: [o10]}
  each:
    matrix: {model: "${models}", fold: [0, 1]}
    cmd: echo ${item.fold} > m-${item.model}-${item.fold}
    params: ["train.${item.model}"]
    outs: ["m-${item.model}-${item.fold}"]
"""
CHANGES = {
    "echo 1 > o1,": "echo 2 > o1,",
    "deps: [x], outs: [o2]": "deps: [x, y], outs: [o2]",
    "deps: [x, y], outs: [o3]": "deps: [x], outs: [o3]",
    "params: [a], outs: [o4]": "params: [a, b], outs: [o4]",
    "params: [a, b], outs: [o5]": "params: [a], outs: [o5]",
    "outs: [o6]": "outs: [o6, p6]",
    "outs: [o7, p7]": "outs: [o7]",
    "outs: [o8]": "outs: [{o8: {cache: false}}]",
    "outs: [o9]": "metrics: [o9]",
    '["train.${item.model}"]': '["train.${item.model}", a]',
}
PARAMS = "format_version: 1\nmodels: [u]\na: 1\nb: 2\ntrain: {u: {c: 3}}\n"


def dvc(folder: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return answer.stdout


def test_a_new_graph_makes_the_stages_stale_that_dvc_would_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text(BEFORE)
    for name in "xy":
        (tmp_path / name).write_text("1")
    dvc(tmp_path, "init", "--quiet", "--no-scm")
    dvc(tmp_path, "repro", "--quiet")
    after = BEFORE
    for old, new in CHANGES.items():
        assert after.count(old) == 1, old
        after = after.replace(old, new)
    stages = parse_graph(tmp_path / "dvc.yaml", after)
    found = find_changes(
        stages, read_params(tmp_path / "params.yaml"), locked_stages(tmp_path)
    )
    (tmp_path / "dvc.yaml").write_text(after)

    assert set(found) == set(json.loads(dvc(tmp_path, "status", "--json")))
    assert found == {
        "command": ["another command"],
        "more_deps": ["reads y"],
        "more_params": ["reads b of params.yaml"],
        "more_outs": ["writes p6"],
        "each@u-0": ["reads a of params.yaml"],
        "each@u-1": ["reads a of params.yaml"],
    }


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(DataError, match=r"dvc\.yaml: expected stages, found none"):
        parse_graph(Path("dvc.yaml"), "vars: []\n")
