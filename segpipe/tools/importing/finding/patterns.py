"""Patterns: which file of a source is which part of which case, by its path."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.matching import (
    CHANNEL,
    STRUCTURE,
    Found,
    check_pattern,
    find_matches,
    list_files,
)
from segpipe.tools.importing.finding.sources import RawCase, RawCases, shown
from segpipe.tools.importing.reading.labels import Drawn
from segpipe.tools.importing.reading.series import list_folders
from segpipe.tools.importing.reading.shapes import geojson
from segpipe.tools.importing.reading.vocabulary import refuse_unseen

log = logging.getLogger(__name__)


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
        check_pattern(option, text)
    structures = structures if "{structure}" in labels else ()
    files = list(list_files(source))
    scans = list(list_folders(source)) if images.endswith("/") else files
    cases = _known_cases(source, scans, files, images, labels)
    drawn = list(
        find_matches(source, files, labels, listed={STRUCTURE: structures}, cases=cases)
    )
    labelled = _grouped(drawn)
    rest = list(find_matches(source, files, labels, cases=cases)) if structures else []
    refuse_unseen(structures, {found.structure for found in rest})
    # Masks that nobody asked for are no images, though they lie beside them.
    taken = {found.path for found in drawn}
    others = {f.path for f in rest if f.case in labelled and f.path not in taken}
    pictured = [
        found
        for found in find_matches(source, scans, images, listed={CHANNEL: channels})
        if found.path not in taken
        and (found.path not in others or found.case in labelled)
    ]
    if masks := others - {found.path for found in pictured}:
        log.info("left out %d masks that --structure does not name", len(masks))
    by_case = _grouped(pictured)
    if not labelled or labelled.keys() - by_case.keys():
        raise DataError(_describe_alone(source, images, labels, by_case, labelled))
    seen = {f.channel for f in pictured if f.case in labelled}
    parted = "{channel}" in images
    wanted = tuple(channels) if parted and channels else tuple(sorted(seen))
    if lost := set(wanted) - seen:
        raise DataError(
            f"{source}: expected images ({images}) of the channels "
            f"{', '.join(wanted)}, found none of {', '.join(sorted(lost))}; correct "
            "--channel"
        )
    found = [
        _case(name, by_case[name], labelled[name], wanted, reference, bool(channels))
        for name in sorted(labelled)
    ]
    unlabelled = _paths_without(by_case, labelled)
    return RawCases(tuple(found), wanted if parted else (), unlabelled=unlabelled)


def _known_cases(
    source: Path, scans: list[str], files: list[str], images: str, labels: str
) -> set[str] | None:
    """The cases, where one of the patterns has no other open part; else none."""
    if "{channel}" not in images:
        return {found.case for found in find_matches(source, scans, images)}
    if not re.search(r"\{(structure|observer|instance)\}", labels):
        return {found.case for found in find_matches(source, files, labels)}
    return None


def _describe_alone(
    source: Path,
    images: str,
    labels: str,
    by_case: Mapping[str, list[Found]],
    labelled: Mapping[str, list[Found]],
) -> str:
    """The images and labels without a partner."""
    alone = [f"label {f[0].path}" for c, f in labelled.items() if c not in by_case]
    alone += [f"image {path}" for path in _paths_without(by_case, labelled)]
    return (
        f"{source}: expected an image ({images}) and a label ({labels}) of each "
        f"case, found without a partner {shown(sorted(alone)) or 'nothing at all'};"
        " move them out, or correct --images and --labels"
    )


def _paths_without(
    by_case: Mapping[str, list[Found]], labelled: Mapping[str, list[Found]]
) -> tuple[Path, ...]:
    """Files of the images whose case has no label."""
    return tuple(
        one.path for case, f in by_case.items() if case not in labelled for one in f
    )


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
