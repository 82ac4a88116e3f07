"""models: the page of all networks, their sizes and their likeness to their papers."""

import re
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from docs.tables.errata import ERRATA
from docs.tables.fields import narrow, receptive_field
from docs.tables.rows import ROWS
from docs.tables.systems import SYSTEMS, System
from docs.tables.words import OURS, row, sizes_in_words
from segpipe.networks.catalogue import NETWORKS

PARAGRAPHS = (
    "# The networks and their papers",
    "Every network that `train.NAME.network` takes. `python -m docs.tables` writes "
    "this page, and a test fails where the code says otherwise. How to choose one: "
    "[models](../how-to/models.md). How sizes are computed: "
    "[sizes](../concepts/sizes.md).",
    "- **Parameters**: all that are learned, at the paper's width and with its "
    "channels and classes (*channels to classes*).\n"
    "- **Sees**: pixels or voxels along an axis that can reach an output through the "
    "layers, as measured. Outputs see differently much by their place in a stride; the "
    "most counts. Normalization by the statistics of a tile, which sees all of it, is "
    "left out.\n"
    "- **Takes**: sizes of a tile along an axis, for m from 1; with `valid` the output "
    "is smaller.",
    "## Networks",
)


def models_page(root: Path) -> str:
    """The text of docs/reference/models.md."""
    presets = _presets(root)
    lines = ["\n\n".join(PARAGRAPHS), ""]
    columns = (
        "network",
        "paper",
        "parameters",
        "sees",
        "takes",
        "as in the paper",
        "otherwise, and why",
        "presets, test",
    )
    lines += [row(*columns), row(*["---"] * len(columns))]
    lines += [_line(name, SYSTEMS[name], presets.get(name, [])) for name in OURS]
    lines += ["", "## Networks of MONAI", "", MONAI_HEAD, ""]
    lines += [row("network", "what", "presets"), row("---", "---", "---")]
    for name in [one for one in NETWORKS if one not in OURS]:
        lines.append(_foreign_line(name, presets.get(name, [])))
    lines += ["", "## Rows of the literature", "", ROWS_HEAD, ""]
    lines += [row("row", "what", "networks"), row("---", "---", "---")]
    for number, title in ROWS.items():
        names = [name for name in OURS if number in SYSTEMS[name].rows]
        lines.append(row(number, title, ", ".join(names)))
    lines += ["", "## Errata of courses", "", ERRATA_HEAD, ""]
    lines += [row("what is said", "what holds"), row("---", "---")]
    lines += [row(*pair) for pair in ERRATA]
    return "\n".join([*lines, ""])


MONAI_HEAD = (
    "MONAI's own code computes these, so that they are as faithful as MONAI is: "
    "[decision 34](../decisions/0034-monai.md)."
)
ROWS_HEAD = (
    "Each of these is decided by a test whose docstring names it: "
    '`grep -rn "Seeds:.* U3" tests` finds those of U3.'
)
ERRATA_HEAD = (
    "Courses on segmentation hand down some mistakes. The code follows the papers, or "
    "the released code where the papers are silent."
)


def count_parameters(name: str, system: System) -> int:
    """Parameters at the paper's width."""
    kind: Any = NETWORKS[name]
    with torch.device("meta"):
        network = kind(system.channels, system.classes, **system.options)
    return sum(weights.numel() for weights in network.parameters())


def _line(name: str, system: System, presets: list[str]) -> str:
    torch.manual_seed(0)
    seen = _seen(name)
    dimensions = NETWORKS[name].dimensions
    test = f"[test](../../tests/networks/test_{name}.py)"
    more = ""
    if system.decision is not None:
        more = f" ([decision {system.decision}]({_decision(system.decision)}))"
    return row(
        f"`{name}`, {dimensions}-D",
        _linked(system.paper),
        f"{count_parameters(name, system):,} ({system.channels} to {system.classes})",
        seen,
        sizes_in_words(name),
        system.faithful,
        system.deviates + more,
        ", ".join([*presets, test]),
    )


def _foreign_line(name: str, presets: list[str]) -> str:
    what = (NETWORKS[name].__doc__ or "").partition("\n")[0]
    return row(f"`{name}`", _linked(what), ", ".join(presets))


def _seen(name: str) -> str:
    """The receptive field; of a network that ranks what it finds, all of the tile."""
    if not getattr(NETWORKS[name], "is_one_graph", True):
        return "all, as boxes are ranked"
    return f"{receptive_field(narrow(name)):,}"


def _presets(root: Path) -> dict[str, list[str]]:
    """The presets that train each network."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "presets").glob("*.yaml")):
        sections = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))["train"]
        for name in dict.fromkeys(one["network"] for one in sections.values()):
            found.setdefault(name, []).append(path.stem)
    return found


def _decision(number: int) -> str:
    folder = Path(__file__).resolve().parents[1] / "decisions"
    (path,) = folder.glob(f"{number:04}-*.md")
    return f"../decisions/{path.name}"


def _linked(paper: str) -> str:
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)
