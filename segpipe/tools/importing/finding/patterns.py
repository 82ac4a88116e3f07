"""Patterns: which file of a source is which part of which case, by its path."""

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from segpipe.images.formats.files import IMAGE_SUFFIXES
from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.sources import RawCase, RawCases, shown
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.labels import Drawn
from segpipe.tools.importing.reading.series import list_folders
from segpipe.tools.importing.reading.shapes import geojson
from segpipe.tools.importing.reading.vocabulary import refuse_unseen

log = logging.getLogger(__name__)
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


def find_by_pattern(
    source: Path,
    images: str,
    labels: str,
    *,
    channels: Sequence[str] = (),
    structures: Sequence[str] = (),
    reference: str | None = None,
) -> RawCases:
    """Find the cases whose files match two patterns of paths inside the source.

    ``{case}`` is the name of the case; where it stands twice, both are the same.
    ``{channel}``, ``{structure}``, ``{observer}`` and ``{instance}`` are parts of a
    case, ``*`` is anything but a slash. With a slash at its end, the pattern of the
    images means folders of DICOM, one series each.

    Args:
        source: The folder.
        images: Pattern of the images, such as ``{case}/{channel}.nii.gz``.
        labels: Pattern of the label maps, or of the masks of each structure.
        channels: Names of the channels in their order; all that are found if empty.
        structures: Names of the masks to read; all that are found if empty.
        reference: The observer whose labels are the reference.

    Raises:
        DataError: If a pattern cannot be used, a label has no image, a case lacks a
            channel that nobody names, or the observer of the reference is not said.
    """
    for option, text in (("--images", images), ("--labels", labels)):
        _check_pattern(option, text)
    structures = structures if "{structure}" in labels else ()
    files = list(list_files(source))
    scans = list(list_folders(source)) if images.endswith("/") else files
    cases = None  # known where one of the patterns has no other open part
    if "{channel}" not in images:
        cases = {found.case for found in _matches(source, scans, images)}
    elif not re.search(r"\{(structure|observer|instance)\}", labels):
        cases = {found.case for found in _matches(source, files, labels)}
    drawn = list(
        _matches(source, files, labels, listed={STRUCTURE: structures}, cases=cases)
    )
    labelled = _grouped(drawn)
    rest = list(_matches(source, files, labels, cases=cases)) if structures else []
    refuse_unseen(structures, {found.structure for found in rest})
    # Masks that nobody asked for are no images, though they lie beside them.
    taken = {found.path for found in drawn}
    others = {f.path for f in rest if f.case in labelled and f.path not in taken}
    pictured = [
        found
        for found in _matches(source, scans, images, listed={CHANNEL: channels})
        if found.path not in taken
        and (found.path not in others or found.case in labelled)
    ]
    masks = others - {found.path for found in pictured}
    if masks:
        log.info("left out %d masks that --structure does not name", len(masks))
    by_case = _grouped(pictured)
    alone = [f"label {f[0].path}" for c, f in labelled.items() if c not in by_case]
    unlabelled = tuple(
        one.path for c, f in by_case.items() if c not in labelled for one in f
    )
    if alone or not labelled:
        alone += [f"image {path}" for path in unlabelled]
        raise DataError(
            f"{source}: expected an image ({images}) and a label ({labels}) of each "
            f"case, found without a partner {shown(sorted(alone)) or 'nothing at all'};"
            " move them out, or correct --images and --labels"
        )
    parted = "{channel}" in images
    wanted = tuple(sorted({f.channel for f in pictured if f.case in labelled}))
    wanted = tuple(channels) if parted and channels else wanted
    if lost := set(wanted) - {f.channel for f in pictured if f.case in labelled}:
        raise DataError(
            f"{source}: expected images ({images}) of the channels "
            f"{', '.join(wanted)}, found none of {', '.join(sorted(lost))}; correct "
            "--channel"
        )
    found = [
        _case(name, by_case[name], labelled[name], wanted, reference, bool(channels))
        for name in sorted(labelled)
    ]
    return RawCases(tuple(found), wanted if parted else (), unlabelled=unlabelled)


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


def _check_pattern(option: str, text: str) -> None:
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


def _matches(
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


def _grouped(found: list[Found]) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        groups[one.case].append(one)
    return dict(sorted(groups.items()))


def _case(
    name: str,
    images: list[Found],
    labels: list[Found],
    channels: tuple[str, ...],
    reference: str | None,
    may_lack: bool,
) -> RawCase:
    """One case from its files; it may lack some of the channels that options name."""
    by_channel = {found.channel: found.path for found in images}
    doubled = len(by_channel) < len(images)
    missing = tuple(n for n, one in enumerate(channels) if one not in by_channel)
    if doubled or (missing and not may_lack):
        several = " ".join(f"--channel {one}" for one in channels)
        mend = (
            "make the pattern narrower"
            if doubled
            else (
                f"add the missing ones, or name those that a case may lack: {several}"
            )
        )
        raise DataError(
            f"{images[0].path}: expected one file of each channel of {name} "
            f"({', '.join(channels) or 'one image'}), found "
            f"{', '.join(str(found.path.name) for found in images)}; {mend}"
        )
    observers = _by_observer(name, labels)
    if len(observers) > 1 and reference not in observers:
        raise DataError(
            f"{labels[0].path}: expected to know whose labels of {name} are the "
            f"reference, found {', '.join(observers)}; give --reference "
            f"{next(iter(observers))}"
        )
    if reference and any(observers) and reference not in observers:
        raise DataError(
            f"{labels[0].path}: expected labels of {name} by {reference}, who is the "
            f"reference, found those of {', '.join(observers)}; move the case out, or "
            "give another --reference"
        )
    main = observers.pop(reference or "", None) or observers.pop(next(iter(observers)))
    return RawCase(
        name,
        tuple(by_channel[channel] for channel in channels if channel in by_channel),
        main.files[0],
        masks=None if main == Drawn((main.files[0],)) and not main.drawing else main,
        observers=observers,
        missing=missing,
    )


def _by_observer(name: str, labels: list[Found]) -> dict[str, Drawn]:
    """What each observer drew in a case."""
    grouped: dict[str, list[Found]] = defaultdict(list)
    for found in labels:
        grouped[found.observer].append(found)
    drawn = {}
    for observer, of in sorted(grouped.items()):
        names = [found.structure for found in of]
        if of[0].instance:
            drawn[observer] = Drawn(tuple(found.path for found in of), apart=True)
            continue
        if len(set(names)) < len(names):
            raise DataError(
                f"{of[0].path}: expected one label of each structure of {name}, found "
                f"{', '.join(str(found.path.name) for found in of)}; make --labels "
                "narrower"
            )
        files = tuple(found.path for found in of)
        if geojson.is_geojson(files[0]) and not names[0]:
            shapes = geojson.read_geojson(files[0])
            drawn[observer] = Drawn(files, drawing=shapes)
            continue
        drawn[observer] = Drawn(files, tuple(names) if names[0] else ())
    return drawn
