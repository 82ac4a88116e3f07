"""Propose what the values and names of label files mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.images.formats import slicer
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.roles import Layout
from segpipe.tools.importing.proposal.values import (
    IGNORE,
    Overlaps,
    Sample,
    are_instances,
    binarize_at,
    may_ignore,
    measure_overlaps,
    one_value_each,
)
from segpipe.tools.importing.reading.labels import Drawn, LabelRules, Notes, masks_in
from segpipe.tools.importing.reading.vocabulary import are_united

MOST_CASES = 3  # of which masks are looked at together
SHOWN = 8  # values listed in a line


def shares(sample: Sample) -> str:
    """The values of a sample of label files and how often they are, in a line."""
    counts = sample.counts
    whole = sum(counts.values())
    found = ", ".join(
        f"{value} {_percent(count, whole)} %" for value, count in counts.items()
    )
    if len(counts) > SHOWN:
        values = list(counts)
        found = f"{len(counts)} values from {values[0]} to {values[-1]}"
    looked = f"{len(sample.files)} of {sample.total} label files"
    return f"values in {looked}: {found}"


def _percent(count: int, whole: int) -> str:
    """Three digits, and as many more as a part needs that is not all."""
    for digits in range(3, 17):
        text = f"{100 * count / whole:.{digits}g}"
        if count == whole or float(text) < 100:
            break
    return text


@dataclass(frozen=True)
class Meaning:
    """What the values and names of label files may mean.

    Attributes:
        proposals: Options for each meaning, the most probable first.
        line: What was seen, in words; empty if it goes without saying.
        doubt: What is open, if there are several.
    """

    proposals: tuple[ImportOptions, ...]
    line: str = ""
    doubt: str = ""


def propose_labels(
    options: ImportOptions,
    layout: Layout,
    sample: Sample,
    *,
    files: Sequence[Path],
    source: Path,
) -> Meaning:
    """Propose structures, instances, ignore and binarize.

    Args:
        options: The options until now.
        layout: Where the files lie and what their names say.
        sample: Values of some of them.
        files: All label files.
        source: The folder.
    """
    if layout.structures:
        return _propose_masks(options, layout, sample, source)
    if named := segment_names(files):
        drawn = [Drawn((file,)) for file in files[:MOST_CASES]]
        found, lines = _propose_named(options, named, drawn)
        return Meaning((found,), "; ".join(lines))
    only, values = layout.name or "structure_1", sample.values
    if one_value_each(sample):
        line = f"masks of {' and of '.join(map(str, values))} are one structure"
        return Meaning((replace(options, structures={only: tuple(values)}),), line)
    binarize = binarize_at(sample)
    if binarize is not None:
        line = (
            f"greys beside the highest value: what is at least {binarize:g} is inside"
        )
        found = replace(options, structures={only: 1}, binarize=binarize)
        return Meaning((found,), line)
    if len(values) == 1:
        return Meaning((replace(options, structures={only: values[0]}),))
    return _propose_values(options, only, sample)


def _propose_values(options: ImportOptions, only: str, sample: Sample) -> Meaning:
    """Several values: structures, ids of instances, or one that says not annotated."""
    values = sample.values
    as_structures = replace(options, structures=_numbered(values))
    as_instances = replace(options, instances=True, structures={only: 1})
    decided = are_instances(sample)
    if decided is None:
        doubt = "the values may be structures, or ids of instances of one structure"
        return Meaning((as_instances, as_structures), doubt=doubt)
    if decided:
        return Meaning((as_instances,), "the values are ids of instances")
    if may_ignore(sample):
        kept = [value for value in values if value != IGNORE]
        unknown = replace(options, structures=_numbered(kept), ignore=IGNORE)
        doubt = f"{IGNORE} may mean not annotated, or be a structure"
        return Meaning((unknown, as_structures), doubt=doubt)
    return Meaning((as_structures,))


def _propose_masks(
    options: ImportOptions, layout: Layout, sample: Sample, source: Path
) -> Meaning:
    """Masks of structures: unions where one lies in another, else the smaller first."""
    threshold = binarize_at(sample)
    drawn = []
    for case in layout.cases[:MOST_CASES]:
        pairs = zip(layout.structures, layout.drawn, strict=True)
        files = {name: f.files[case] for name, f in pairs if case in f.files}
        drawn.append(Drawn(tuple(source / f for f in files.values()), tuple(files)))
    found = replace(options, binarize=threshold)
    found, lines = _propose_named(found, layout.structures, drawn)
    if threshold is not None:
        lines.insert(0, f"stray greys: what is at least {threshold:g} is inside")
    many = len(layout.structures) > SHOWN and "/{structure}." in layout.labels
    if many and not are_united(found.structures) and found.overlap is None:
        # The import takes all files of the folder as they are.
        found = replace(found, structures={})
    return Meaning((found,), "; ".join(lines))


def _propose_named(
    options: ImportOptions, names: Sequence[str], drawn: Sequence[Drawn]
) -> tuple[ImportOptions, list[str]]:
    """Propose structures of masks or segments, and who has voxels of two."""
    rules = LabelRules(binarize=options.binarize)
    found = measure_overlaps(
        ((mask.name, mask.read().array != 0) for mask in masks_in(one, rules, Notes()))
        for one in drawn
    )
    return propose_overlaps(options, names, found)


def propose_overlaps(
    options: ImportOptions, names: Sequence[str], found: Overlaps
) -> tuple[ImportOptions, list[str]]:
    """Propose structures that unite what lies inside them, and who has the rest.

    Args:
        options: The options until now.
        names: The names that labels have.
        found: How they lie to each other.

    Returns:
        The options, and what was seen, in words.
    """
    unions, lines = found.unions(names), []
    nested = {name: own[1:] for name, own in unions.items() if len(own) > 1}
    if nested:
        pairs = (f"{', '.join(inner)} in {outer}" for outer, inner in nested.items())
        lines.append(f"some lie in others, so these unite them: {'; '.join(pairs)}")
    if found.undecided:
        lines.append("some voxels lie in two masks: the smaller structure gets them")
    ordered = nested or found.undecided
    return replace(
        options,
        structures=unions if ordered else {name: (name,) for name in names},
        overlap="last" if found.undecided else None,
    ), lines


def segment_names(files: Sequence[Path]) -> list[str]:
    """The names of the segments in headers of 3D Slicer; empty if a file has none."""
    found: dict[str, None] = {}
    for path in files:
        names = [segment.name for segment in slicer.find_segments(path)]
        if not names:
            return []
        found |= dict.fromkeys(names)
    return list(found)


def _numbered(values: list[int]) -> dict[str, int]:
    """A name for each value; of many none, as the import gives the same names."""
    if len(values) > SHOWN:
        return {}
    return {f"structure_{value}": value for value in values}
