"""Look at a source: what it holds, and the options that would import it."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.dicom.run import holds_dicom
from segpipe.tools.importing.finding.cases import find_cases
from segpipe.tools.importing.finding.documents import is_document
from segpipe.tools.importing.finding.matching import list_files
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.proposal.families import Family, ending_of, find_families
from segpipe.tools.importing.proposal.images import look_at_images
from segpipe.tools.importing.proposal.labels import (
    Meaning,
    propose_labels,
    segment_names,
    shares,
)
from segpipe.tools.importing.proposal.patients import list_cases, propose_patients
from segpipe.tools.importing.proposal.roles import Layout, find_layouts
from segpipe.tools.importing.proposal.standards.bids import find_bids, named
from segpipe.tools.importing.proposal.standards.dicom import find_series_layouts
from segpipe.tools.importing.proposal.standards.documents import (
    count_shapes,
    look_at_documents,
    propose_shapes,
)
from segpipe.tools.importing.proposal.standards.instances import look_at_instances
from segpipe.tools.importing.proposal.values import Sample, look_drawn, take_sample
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.shapes import geojson

MOST_PROPOSALS = 3
SHOWN = 6  # names listed in a line
IMAGE_KEYS, LABEL_KEYS = ("raw", "image", "volume", "data"), ("label", "mask", "seg")


@dataclass(frozen=True)
class Look:
    """What was seen of a source, and what to do with it.

    Attributes:
        lines: What was seen, in words.
        proposals: Options that would import it, the most probable first; empty if
            nothing was found that can be imported.
        doubt: What the look cannot decide, if there are several proposals.
    """

    lines: tuple[str, ...]
    proposals: tuple[ImportOptions, ...]
    doubt: str = ""

    @property
    def certain(self) -> bool:
        """Whether there is nothing to guess: the source itself says all."""
        return self.proposals == (ImportOptions(),)


def look(source: Path) -> Look:
    """Look at a folder, or an HDF5 file, without reading all of it.

    Raises:
        DataError: If there is nothing, or a file that the look needs is damaged.
    """
    if not source.exists():
        raise DataError(f"{source}: expected a folder or an HDF5 file, found nothing")
    if source.is_dir() and (source / "dataset.json").is_file():
        line = "dataset.json describes the cases: nothing to guess"
        return Look((line,), (ImportOptions(),))
    if source.is_file():
        return _look_at_hdf5(source.parent, [source.name], alone=True)
    paths = list(list_files(source))
    counted = Counter(ending_of(path) for path in paths)
    kinds = ", ".join(f"{number} {ending}" for ending, number in counted.most_common())
    others = Counter(p.suffix or p.name for p in source.rglob("*") if p.is_file())
    rest = {e: n for e, n in others.items() if n and not _counts(e, counted)}
    lines = [f"{source}: {kinds or 'no image'}"]
    if not paths:
        found = _dicom() if holds_dicom(source, ImportOptions()) else Look((), ())
        lines += _left_out(rest, ())
        return replace(found, lines=(*lines, *found.lines))
    if (seen := look_at_documents(source, rest)) or (
        seen := look_at_instances(source, paths)
    ):
        found = _joined(*seen)
    elif any(path.lower().endswith(hdf5.SUFFIXES) for path in paths):
        found = _look_at_hdf5(source, paths)
    else:
        found = _look_at_pairs(source, paths)
    lines += _left_out(rest, found.proposals)
    found = _tried(source, paths, found)
    unnamed = any("structure_1" in one.structures for one in found.proposals)
    named = ("names: no file has one; write yours for structure_1",) if unnamed else ()
    return replace(found, lines=(*lines, *found.lines, *named))


def _tried(source: Path, paths: list[str], found: Look) -> Look:
    """The look after the files of each proposal were looked for.

    It leaves out images without a label, and says so, and what else lacks a part.
    """
    proposals, lines = [], list(found.lines)
    used: set[Path] = set()
    for one in found.proposals:
        if one == ImportOptions():
            return found
        try:
            raw = find_cases(source, replace(one, labelled_only=True))
        except DataError as error:
            lines.append(f"the import will stop: {error}")
            return replace(found, lines=tuple(lines))
        without = raw.unlabelled and not is_document(one.labels or "")
        proposals.append(replace(one, labelled_only=bool(without)))
        lines += [line for line in _gaps(source, raw) if line not in lines]
        used |= {file for case in raw.cases for file in case.files}
        used |= set(raw.unlabelled)
    alone = [
        path for path in paths if not used & {source / path, *(source / path).parents}
    ]
    if alone and used:
        lines.append(f"not used ({len(alone)}): {_shown(tuple(alone))}")
    return Look(tuple(lines), tuple(proposals), found.doubt)


def _gaps(source: Path, raw: RawCases) -> list[str]:
    """The images without a label, and the cases without a channel, in lines."""
    lines = []
    alone = tuple(file.relative_to(source).as_posix() for file in raw.unlabelled)
    if alone:
        lines.append(f"no label, so left out ({len(alone)}): {_shown(alone)}")
    lacking = tuple(case.name for case in raw.cases if case.missing)
    if lacking:
        lines.append(
            f"a channel is missing ({len(lacking)}): {_shown(lacking)}; verify refuses "
            "that unless params.yaml says verify.missing_channels: zeros"
        )
    return lines


def _left_out(rest: dict[str, int], proposals: tuple[ImportOptions, ...]) -> list[str]:
    """The files that are no images, without those that the proposals read."""
    if any((one.images or "").endswith("/") for one in proposals):
        return []  # files of DICOM have any ending
    used = {Path(one.labels or "").suffix.lower() for one in proposals}
    left = {e: n for e, n in rest.items() if e.lower() not in used}
    shown = ", ".join(f"{n} {e}" for e, n in sorted(left.items())[:SHOWN])
    return [f"left out: {shown}"] if shown else []


def _dicom() -> Look:
    line = "DICOM: its headers say what belongs together"
    return Look((line,), (ImportOptions(),))


def _counts(ending: str, counted: Counter[str]) -> bool:
    return any(known.endswith(ending.lower()) for known in counted)


def _look_at_hdf5(source: Path, paths: list[str], *, alone: bool = False) -> Look:
    """Name the data sets of HDF5 files."""
    packed = [path for path in paths if path.lower().endswith(hdf5.SUFFIXES)]
    folder = packed[0].rpartition("/")[0]
    files = [source / path for path in packed if path.rpartition("/")[0] == folder]
    shapes = hdf5.read_sets(files[0])
    keys = [
        next((n for word in words for n in shapes if word in n.lower()), None)
        for words in (IMAGE_KEYS, LABEL_KEYS)
    ]
    sets = "; ".join(f"{name} {shape}" for name, shape in shapes.items())
    lines = [f"data sets of {packed[0]}: {sets}"]
    if keys[0] is None or keys[1] is None:
        lines.append("which is the image and which the label? --image-key, --label-key")
        return Look(tuple(lines), ())
    options = ImportOptions(images=folder or None, image_key=keys[0], label_key=keys[1])
    options = options if not alone else replace(options, images=None)
    image = look_at_images(files, options)
    sample = take_sample(files, key=keys[1])
    lines += [*image.lines(files[0]), shares(sample)]
    meaning = propose_labels(
        options, Layout("", ""), sample, files=files, source=source
    )
    return _joined(lines, meaning)


def _look_at_pairs(source: Path, paths: list[str]) -> Look:
    """Find images and labels that belong together by their names."""

    def looks_drawn(family: Family) -> bool:
        return look_drawn(source / next(iter(family.files.values())))

    bids = find_bids(paths)
    families = [bids] if bids else find_families(paths)
    ways = (find_layouts(way, looks_drawn) for way in families)
    layouts = find_series_layouts(source, paths) if not bids else []
    layouts = layouts or next((found for found in ways if found is not None), [])
    if not layouts and holds_dicom(source, ImportOptions()):
        return _dicom()
    if not layouts:
        line = (
            "no images with labels of the same names: see --images and --labels; a "
            "mask for each instance must become one map of ids"
        )
        return Look((line,), ())
    found = [_look_at_layout(source, one) for one in layouts[:MOST_PROPOSALS]]
    proposals = [one for look in found for one in look.proposals][:MOST_PROPOSALS]
    doubts = [look.doubt for look in found if look.doubt]
    if len(layouts) > 1:
        doubts.insert(0, "several files may be the label of a case")
    lines = found[0].lines
    for other in found[1:]:
        lines += tuple(line for line in other.lines if line not in lines)
    return Look(lines, tuple(proposals), "; ".join(doubts))


def _look_at_layout(source: Path, layout: Layout) -> Look:
    cases = layout.cases
    lines = [
        f"images: {layout.images}"
        + (f" with the channels {_shown(layout.channels)}" if layout.channels else ""),
        f"labels: {layout.labels}"
        + (f", masks of {_shown(layout.structures)}" if layout.structures else "")
        + (f", drawn by {_shown(layout.observers)}" if layout.observers else ""),
        list_cases(cases),
    ]
    first = {
        name: path for f in layout.pictured[::-1] for name, path in f.files.items()
    }
    files = [source / first[case] for case in cases]
    image = look_at_images(files, ImportOptions())
    drawn = [source / f.files[c] for f in layout.drawn for c in cases if c in f.files]
    shapes = all(map(geojson.is_geojson, drawn))
    segments = () if layout.structures else tuple(segment_names(drawn))
    sample = None if shapes or segments else take_sample(drawn)
    seen = [f"segments: {_shown(segments)}"] if segments else []
    seen += [] if sample is None else [shares(sample)]
    lines += [*image.lines(files[0]), *seen]
    options = _found_options(layout, source)
    if image.is_ct(layout.images) and not layout.channels:
        options = replace(options, channels=("CT",))
    options = replace(options, grey=image.grey)
    options, line = propose_patients(options, source, cases)
    if shapes:
        drawings = {str(path): geojson.read_geojson(path) for path in drawn}
        found, said = propose_shapes(options, drawn[0], drawings)
        lines.append(count_shapes(drawings))
        return _joined([*lines, line, *said], Meaning((found,)))
    meaning = propose_labels(
        options, layout, sample or Sample((), (), 0), files=drawn, source=source
    )
    named_ = tuple(named(one, source) for one in meaning.proposals)
    return _joined([*lines, line], replace(meaning, proposals=named_))


def _joined(lines: list[str], meaning: Meaning) -> Look:
    seen = (*lines, meaning.line) if meaning.line else tuple(lines)
    return Look(seen, meaning.proposals, meaning.doubt)


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _found_options(layout: Layout, source: Path) -> ImportOptions:
    """Two folders where the names of the files are those of the cases, else patterns.

    Files of other endings in the folders would become cases, too.
    """
    options = ImportOptions(
        images=layout.images,
        labels=layout.labels,
        channels=layout.channels,
        reference=layout.observers[0] if layout.observers else None,
    )
    shapes = layout.labels.lower().endswith(geojson.SUFFIXES)
    if layout.channels or layout.structures or layout.observers or shapes:
        return options
    plain = re.compile(r"(.+)/\{case\}\.[a-z.]+", re.IGNORECASE)
    images, labels = plain.fullmatch(layout.images), plain.fullmatch(layout.labels)
    if images is None or labels is None or images[1] == labels[1]:
        return options
    inside = [source / part[1] for part in (images, labels)]
    numbers = [len(list(list_files(folder))) for folder in inside]
    if numbers != [len(layout.cases)] * 2:
        return options
    return replace(options, images=images[1], labels=labels[1])
