"""The stages of the chain, read from dvc.yaml."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from docs.drawings.house import first_line
from docs.drawings.picture import Row, Word

ORDER = ("quiet", "slim", "box")  # what every stage needs, other inputs, the stages


def read_chain(root: Path) -> list[Row]:
    """The inputs and the stages, in the order of dvc.yaml."""
    stages = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text())["stages"]
    reads = {name: _sources(stage["deps"]) for name, stage in stages.items()}
    sources = [*sorted(set().union(*reads.values()) - set(stages)), *stages]
    readers = {
        source: [name for name in stages if source in reads[name]] for source in sources
    }
    needed = {
        source for source in sources if set(readers[source]) >= set(stages) - {source}
    }
    rows = [
        _read_stage(root, source, stages[source], readers[source], needed)
        if source in stages
        else _read_input(source, readers[source], needed)
        for source in sources
        if source in stages or source in needed or set(readers[source]) - needed
    ]
    return sorted(rows, key=lambda row: ORDER.index(row.shape))


def _read_input(name: str, readers: list[str], needed: set[str]) -> Row:
    """A file or folder that no stage writes."""
    if name in needed:
        return Row(name, "", "", shape="quiet")
    return Row(
        name, "", "Tracked by DVC.", stops=dict.fromkeys(readers, 1), shape="slim"
    )


def _read_stage(
    root: Path, name: str, stage: dict[str, Any], readers: list[str], needed: set[str]
) -> Row:
    """A stage; that it reads what every stage needs is not repeated."""
    deps = [dep for dep in stage["deps"] if not _sources([dep]) & needed]
    outs = [*map(_name, stage["outs"]), *stage.get("metrics", [])]
    matrix = list(stage.get("matrix", []))
    quiet = name in needed
    return Row(
        name,
        " \u00d7 ".join(matrix),
        first_line(root / "segpipe" / "stages" / f"{name}.py", name),
        lines=(
            (
                Word("reads", "key"),
                *(Word(_plain(dep)) for dep in deps),
                *(Word(_plain(part), "section") for part in stage.get("params", [])),
            ),
            (Word("writes", "key"), *(Word(_plain(out)) for out in outs)),
        ),
        stops={} if quiet else dict.fromkeys(readers, 1),
        shape="quiet" if quiet else "box",
        cards=len(matrix),
    )


def _sources(deps: list[str]) -> set[str]:
    """The stages that write what is read, and the first folder of all else."""
    parts = [dep.split("/") for dep in deps]
    return {part[part[0] == "artifacts"] for part in parts}


def _name(out: str | dict[str, Any]) -> str:
    """The path of an output, which may have options."""
    return out if isinstance(out, str) else next(iter(out))


def _plain(text: str) -> str:
    """artifacts/train/${item.model} as train/MODEL."""
    text = text.removeprefix("artifacts/")
    return re.sub(r"\$\{item\.(\w+)\}", lambda found: found[1].upper(), text)
