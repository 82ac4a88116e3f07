"""upgrade: say what the installed segpipe makes stale in a study, and renew its files.

Nothing runs here: `dvc repro` runs afterwards what this tool has named.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import locked_stages
from segpipe.project.origin.study import FILE, Study, digest_text, read_study, shipped
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.stages.code import CodeDigest, digest_stages, read_digests
from segpipe.tools.study.files import describe_study, files_of_segpipe
from segpipe.tools.study.graph import (
    Stages,
    behind,
    code_of,
    find_changes,
    parse_graph,
)

GRAPH = "dvc.yaml"


def upgrade(
    paths: Paths, networks: Mapping[str, str], *, rewrite: bool
) -> Iterator[str]:
    """Compare a study with the installed segpipe.

    Args:
        paths: The study's folders.
        networks: Name of each model to the name of its network.
        rewrite: Whether to rewrite the files of segpipe's that nobody has edited.

    Yields:
        Lines: the versions, the changed modules and packages, the stages that
        `dvc repro` would run again, the params and the files.

    Raises:
        DataError: If the project is no study, or one of its files is not readable.
    """
    study = read_study(paths.root)
    if study is None:
        raise DataError(
            f"{paths.root / FILE}: expected a study that `segpipe init` made, found no "
            "file; a checkout of segpipe is brought up to date by git"
        )
    yield f"segpipe {version('segpipe')}; {study.segpipe} wrote this study's files"
    graph = _graph_to_come(paths.root / GRAPH, study)
    yield from list_stale(paths, networks, graph)
    yield from compare_params(paths.params)
    yield from _compare_files(paths, study, rewrite=rewrite)


def _graph_to_come(file: Path, study: Study) -> Stages:
    """The graph that the study has after the upgrade: segpipe's, or an edited one."""
    found = file.read_text(encoding="utf-8") if file.is_file() else ""
    stays = _is_edited(found, study, GRAPH)
    return parse_graph(file, found if stays else files_of_segpipe(study.name)[GRAPH])


def _is_edited(found: str, study: Study, name: str) -> bool:
    """Whether somebody changed a file that segpipe wrote; a missing one comes back."""
    return bool(found) and digest_text(found) != study.files.get(name)


def list_stale(
    paths: Paths, networks: Mapping[str, str], stages: Stages
) -> Iterator[str]:
    """Name what changed about the stages, and the stages that would run again.

    Args:
        paths: The study's folders.
        networks: Name of each model to the name of its network.
        stages: The graph that the study has after the upgrade.
    """
    before = read_digests(paths)
    if not before:
        yield "code: no stage has run yet, so nothing becomes stale"
        return
    now = digest_stages(networks=networks, paths=paths)
    called = code_of(stages, list(networks))
    stale: dict[str, str] = {}  # what it is called to its stage
    changes: set[str] = set()
    for stage, names in called.items():
        for label, name in names.items():
            found = list(_differences(before.get(name), now.get(name)))
            if found:
                stale[label] = stage
                changes |= set(found)
    asked = find_changes(stages, read_params(paths.params), locked_stages(paths.root))
    for name, words in asked.items():
        stage = name.split("@")[0]
        # Without its fold, and without its model where that has no code of its own.
        label = next((x for x in called.get(stage, {}) if _is_of(name, x)), stage)
        stale[label] = stage
        changes |= {f"{GRAPH}, {label}: {change}" for change in words}
    if not stale:
        yield "code: the same behind every stage, so nothing becomes stale"
        return
    yield from (f"changed: {change}" for change in sorted(changes))
    order = {stage: place for place, stage in enumerate(stages)}
    shown = sorted(stale, key=lambda label: order[stale[label]])
    yield f"stale:   {', '.join(shown)}"
    later = behind(stages, set(stale.values()))
    if later:
        yield f"behind:  {', '.join(later)}; they run again if their inputs change"


def _is_of(name: str, label: str) -> bool:
    """Whether a stage of dvc.lock, train@unet2d-0, goes by a label, train@unet2d."""
    return name == label or name.rpartition("-")[0] == label


def _differences(before: CodeDigest | None, now: CodeDigest | None) -> Iterator[str]:
    """Modules and packages that are not the same behind a stage."""
    if before is None or now is None:
        yield "a stage or model is new" if before is None else "a stage is gone"
        return
    for module in sorted(before.modules.keys() | now.modules.keys()):
        if before.modules.get(module) != now.modules.get(module):
            yield module
    for package in sorted(before.packages.keys() | now.packages.keys()):
        old, new = before.packages.get(package), now.packages.get(package)
        if old != new:
            yield f"{package} {old or 'absent'} -> {new or 'absent'}"


def compare_params(path: Path) -> Iterator[str]:
    """Name the values that params.yaml lacks or that segpipe no longer knows."""
    own = read_params(path)
    complete = read_params(shipped("presets/phantom.yaml"))
    section = next(iter(complete.pop("train").values()))
    faults = list(_keys({k: v for k, v in own.items() if k != "train"}, complete, ""))
    models = own.get("train")
    for model, values in (models if isinstance(models, dict) else {}).items():
        faults += _keys(values, section, f"train.{model}.")
    yield from (f"{path}, {fault}" for fault in faults)
    if not faults:
        yield f"{path}: has every value that segpipe reads, and no other"


def _keys(own: Any, complete: dict[str, Any], lead: str) -> Iterator[str]:
    if not isinstance(own, dict):
        yield f"{lead.rstrip('.')}: expected values, found {json.dumps(own)[:80]}"
        return
    for key, value in complete.items():
        if key not in own:
            shown = json.dumps(value)
            yield f"{lead}{key}: missing; add it, in the preset phantom it is {shown}"
        elif isinstance(value, dict):
            yield from _keys(own[key], value, f"{lead}{key}.")
    for key in own.keys() - complete.keys():
        yield f"{lead}{key}: no longer read; delete it"


def _compare_files(paths: Paths, study: Study, *, rewrite: bool) -> Iterator[str]:
    """Compare segpipe's files with those that it would write now."""
    wanted = files_of_segpipe(study.name)
    written = dict(study.files)
    for name, text in wanted.items():
        file = paths.root / name
        found = file.read_text(encoding="utf-8") if file.is_file() else ""
        if found == text:
            yield f"{name}: up to date"
            written[name] = digest_text(text)
        elif _is_edited(found, study, name):
            yield f"{name}: edited here, so it stays; to follow segpipe, change"
            yield from difflib.unified_diff(
                found.splitlines(),
                text.splitlines(),
                name,
                "segpipe's",
                n=1,
                lineterm="",
            )
        elif rewrite:
            write_text(file, text)
            written[name] = digest_text(text)
            yield f"{name}: rewritten"
        else:
            yield f"{name}: segpipe has another one now; --yes rewrites it"
    if rewrite:
        renewed = describe_study(study.name, wanted)
        renewed.model_copy(update={"files": written}).write(paths.root / FILE)
        yield "next: `dvc repro`, then commit the files to git"
