"""Matching: the files whose paths match a pattern with open parts."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from segpipe.images.formats.files import IMAGE_SUFFIXES
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.shapes import geojson

CASE, CHANNEL, STRUCTURE, OBSERVER = "case", "channel", "structure", "observer"
INSTANCE = "instance"
PLACE = re.compile(r"\{(\w+)\}|(\*)")
# Parts of a path that each option may leave open.
OPEN = {"--images": (CASE, CHANNEL), "--labels": (CASE, STRUCTURE, OBSERVER, INSTANCE)}


@dataclass(frozen=True)
class Found:
    """A file that a pattern matches, and what stands in its open parts."""

    path: Path
    case: str
    channel: str = ""
    structure: str = ""
    observer: str = ""
    instance: str = ""


def is_pattern(text: str | None) -> bool:
    """Whether a folder in the options is a pattern of paths."""
    return text is not None and "{case}" in text


def list_files(source: Path) -> Iterator[str]:
    """Yield the paths of all images and labels in a source, in order.

    Hidden files are left out.
    """
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        name = path.name.lower()
        hidden = any(part.startswith(".") for part in inside.parts)
        known = (*IMAGE_SUFFIXES, *hdf5.SUFFIXES, *geojson.SUFFIXES)
        if not hidden and name.endswith(known):
            yield inside.as_posix()


def check_pattern(option: str, text: str) -> None:
    """Refuse a pattern without {case}, or with open parts that the option has not.

    Raises:
        DataError: If it is one.
    """
    named = [name for name, star in PLACE.findall(text) if not star]
    wrong = [name for name in named if name not in OPEN[option]]
    if {STRUCTURE, INSTANCE} <= set(named):
        raise DataError(
            f"{option} {text}: expected {{structure}} or {{instance}}, found both; "
            "import the instances of one structure, with its name in place of "
            "{structure}"
        )
    if wrong or CASE not in named:
        raise DataError(
            f"{option} {text}: expected a pattern with {{case}} and perhaps "
            f"{', '.join(f'{{{name}}}' for name in OPEN[option][1:])}, found "
            f"{', '.join(f'{{{name}}}' for name in wrong) or 'no {case}'}; give for "
            "example --images 'images/{case}.png' --labels 'masks/{case}_mask.png'"
        )


def find_matches(
    source: Path,
    files: list[str],
    text: str,
    *,
    listed: Mapping[str, Sequence[str]] | None = None,
    cases: Collection[str] | None = None,
) -> Iterator[Found]:
    """The files that a pattern matches, each by the longest name of a case.

    Args:
        source: The folder.
        files: Paths inside it.
        text: The pattern.
        listed: The names that may stand in an open part; any, if it is missing.
        cases: Names of the cases, where they are known.
    """
    key = tuple((name, tuple(names)) for name, names in (listed or {}).items())
    text = unicodedata.normalize("NFC", text)
    for file in files:
        path = unicodedata.normalize("NFC", file)
        matches = [
            match
            for length in range(len(path), 0, -1)
            if (match := _compiled(text, length, key).fullmatch(path))
        ]
        known = [m for m in matches if cases is None or m["case"] in cases]
        for match in (known or matches)[:1]:
            yield Found(source / file, **match.groupdict())


@cache
def _compiled(
    text: str, length: int, listed: tuple[tuple[str, tuple[str, ...]], ...]
) -> re.Pattern[str]:
    """The pattern of whole paths whose case has a number of letters."""
    known, seen, parts, end = dict(listed), set[str](), [], 0
    for place in PLACE.finditer(text):
        parts.append(re.escape(text[end : place.start()]))
        end, name = place.end(), place[1]
        if name is None:
            parts.append("[^/]*")
        elif name in seen:
            parts.append(f"(?P={name})")
        elif name == CASE:
            parts.append(f"(?P<case>[^/]{{{length}}})")
        else:
            names = "|".join(map(re.escape, known.get(name, ()))) or "[^/]+?"
            parts.append(f"(?P<{name}>{names})")
        seen.add(name)
    return re.compile("".join(parts) + re.escape(text[end:]))
