"""BIDS: subjects and sessions as folders, labels under derivatives.

The layout: https://bids-specification.readthedocs.io, "Imaging derivatives":
``_dseg`` are label maps, ``_label-NAME_mask`` are masks, ``dseg.tsv`` names values.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.families import CASE, Family
from segpipe.tools.importing.proposal.roles import is_common
from segpipe.tools.importing.reading.vocabulary import is_plain

SUBJECT = re.compile(
    r"(?P<before>(?:.*/)?)(?P<sub>sub-[^/_]+)/(?:(?P<ses>ses-[^/_]+)/)?"
    r"(?P<kind>[^/]+)/(?P<case>(?P=sub)(?:_(?P=ses))?)_(?P<rest>[^/]+\.nii(?:\.gz)?)",
    re.IGNORECASE,
)
DRAWN = re.compile(r"(?:.*_)?(dseg|mask)\.nii(\.gz)?", re.IGNORECASE)
UNNAMED = re.compile(r"structure_(\d+)")


def find_bids(paths: list[str]) -> tuple[Family, ...]:
    """Find the families of a BIDS data set; empty if the paths are none.

    Images are kept that half of the labelled subjects and sessions have. The
    folders of subjects and of sessions are ``*`` in the patterns.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    drawn: set[str] = set()
    for path in paths:
        match = SUBJECT.fullmatch(path)
        if match is None:
            continue
        folders = "*/*" if match["ses"] else CASE
        place = f"{match['before']}{folders}/{match['kind']}"
        pattern = f"{place}/{CASE}_{match['rest']}"
        if "derivatives/" not in f"/{match['before']}":
            found[pattern][match["case"]] = path
        elif DRAWN.fullmatch(match["rest"]):
            found[pattern][match["case"]] = path
            drawn.add(pattern)
    labelled = {case for pattern in drawn for case in found[pattern]}
    if not labelled:
        return ()
    return tuple(
        Family(pattern, files)
        for pattern, files in sorted(found.items())
        if pattern in drawn or is_common(files, labelled)
    )


def named(options: ImportOptions, source: Path) -> ImportOptions:
    """The options with the names that a dseg.tsv gives to values, if there is one."""
    names = _names(source)
    if not names or not all(UNNAMED.fullmatch(one) for one in options.structures):
        return options
    structures = {
        names.get(value, name) if isinstance(value, int) else name: value
        for name, value in options.structures.items()
    }
    whole = len(structures) == len(options.structures)
    return replace(options, structures=structures) if whole else options


def _names(source: Path) -> Mapping[int, str]:
    """The names of the first table that has the columns index and name."""
    for path in sorted(source.rglob("*dseg.tsv")):
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        pairs = [(row.get("index") or "", row.get("name") or "") for row in rows]
        sound = {int(n): name for n, name in pairs if n.isdecimal() and is_plain(name)}
        if sound and len(set(sound.values())) == len(sound):
            return sound
    return {}
