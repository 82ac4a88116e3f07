"""The page of params explains each key of params.yaml and of the presets."""

import re
from typing import Any

from segpipe.project.params import read_params
from tests.support.places import ROOT


def keys_of(document: dict[str, Any], before: str = "") -> set[str]:
    """The dotted keys of a params.yaml; those of all models are train.NAME."""
    found = set()
    for name, value in document.items():
        key = "train.NAME" if before == "train." else f"{before}{name}"
        if name == "arguments":  # of a class that is not ours
            found.add(key)
            continue
        found |= keys_of(value, f"{key}.") if isinstance(value, dict) else {key}
    return found


def test_the_page_of_params_has_each_key_and_no_other() -> None:
    page = (ROOT / "docs" / "reference" / "params.md").read_text(encoding="utf-8")
    shown = set()
    for row in re.findall(r"^\| (`[^|]*) \|", page, re.M):
        first, *others = re.findall(r"`([^`]+)`", row)
        section = first.rpartition(".")[0]
        shown |= {first, *(o if "." in o else f"{section}.{o}" for o in others)}

    presets = [ROOT / "params.yaml", *(ROOT / "presets").glob("*.yaml")]
    assert shown == set().union(*(keys_of(read_params(path)) for path in presets))
