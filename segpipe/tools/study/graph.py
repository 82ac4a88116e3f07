"""graph: the stages of a dvc.yaml, and how they differ from those that DVC ran last."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segpipe.project.documents import parse_yaml
from segpipe.project.errors import DataError

CODE, ARTIFACTS = "artifacts/code/", "artifacts/"
MODEL = "${item.model}"
PARAMS = "params.yaml"
Stages = dict[str, Any]  # stage to what dvc.yaml says of it


def parse_graph(path: Path, text: str) -> Stages:
    """The stages in the text of a dvc.yaml.

    Args:
        path: The file, for errors.
        text: What stands in it, or will.

    Raises:
        DataError: If there are none.
    """
    document = parse_yaml(path, text.encode())
    if not isinstance(document, dict) or not isinstance(document.get("stages"), dict):
        raise DataError(f"{path}: expected stages, found none; restore it from git")
    return dict(document["stages"])


def code_of(stages: Stages, models: list[str]) -> dict[str, dict[str, str]]:
    """Stage to what it is called, by model if need be, and the digest behind that."""
    found: dict[str, dict[str, str]] = {}
    for stage, described in stages.items():
        for dep in described.get("deps", []):
            if not dep.startswith(CODE):
                continue
            name = dep.removeprefix(CODE).removesuffix(".json")
            each = [(f"{stage}@{model}", model) for model in models]
            found[stage] = (
                {label: name.replace(MODEL, model) for label, model in each}
                if MODEL in name
                else {stage: name}
            )
    return found


def behind(stages: Stages, stale: set[str]) -> list[str]:
    """The stages that read, directly or not, what stale ones write; in their order."""
    reached = set(stale)
    for stage, described in stages.items():  # in the order in which they run
        read = {
            dep.removeprefix(ARTIFACTS).split("/")[0]
            for dep in described.get("deps", [])
            if dep.startswith(ARTIFACTS)
        }
        if read & reached:
            reached.add(stage)
    return [stage for stage in stages if stage in reached - stale]


def find_changes(
    stages: Stages, params: Mapping[str, Any], locked: Mapping[str, Any]
) -> dict[str, list[str]]:
    """What a graph asks for that DVC did not know when it ran the stages.

    DVC runs a stage again if its command is another, or if it has a dependency, a param
    or an output that dvc.lock does not list. What the graph no longer lists makes
    nothing stale, as DVC compares only what it lists.

    Args:
        stages: The graph.
        params: The content of params.yaml, by which a matrix is spelled out.
        locked: What dvc.lock records, by the name of the stage: ``train@unet2d-0``.

    Returns:
        Name of each stage that would run again, as in dvc.lock, to what is new about
        it. Stages that always run or never ran are left out.
    """
    found = {}
    for name, stage in _spelled_out(stages, params):
        if name in locked and not stage.get("always_changed"):
            changes = list(_differences(stage, locked[name]))
            if changes:
                found[name] = changes
    return found


def _spelled_out(
    stages: Stages, params: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage of a matrix by itself, named as DVC names it."""
    for name, described in stages.items():
        matrix = described.get("matrix", {})
        values = [
            each if isinstance(each, list) else params.get(each[2:-1], [])
            for each in matrix.values()  # a list, or the name of one: ${models}
        ]
        for chosen in itertools.product(*values):
            text = json.dumps({k: v for k, v in described.items() if k != "matrix"})
            for key, value in zip(matrix, chosen, strict=True):
                text = text.replace(f"${{item.{key}}}", str(value))
            words = "-".join(map(str, chosen))
            yield f"{name}@{words}" if matrix else name, json.loads(text)


def _differences(stage: dict[str, Any], locked: dict[str, Any]) -> Iterator[str]:
    if stage["cmd"] != locked.get("cmd"):
        yield "another command"
    known = {one["path"] for kind in ("deps", "outs") for one in locked.get(kind, [])}
    for path in stage.get("deps", []):
        if path not in known:
            yield f"reads {path}"
    for path, keys in _params(stage):
        for key in keys:
            if key not in locked.get("params", {}).get(path, {}):
                yield f"reads {key} of {path}"
    for kind in ("outs", "metrics", "plots"):
        for out in stage.get(kind, []):
            path = next(iter(out)) if isinstance(out, dict) else out
            if path not in known:
                yield f"writes {path}"


def _params(stage: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Files of params, and the keys in them; DVC's own file goes without a name."""
    for one in stage.get("params", []):
        if isinstance(one, str):
            yield PARAMS, [one]
        else:
            yield from ((path, keys or []) for path, keys in one.items())
