"""Propose what the values and names of label files mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.images.formats import slicer
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.roles import Layout
from segpipe.tools.importing.proposal.values import (
    IGNORE,
    Sample,
    are_instances,
    binarize_at,
    may_ignore,
    one_value_each,
    overlap_of,
)

MOST_CASES = 3  # of which masks are looked at together
SHOWN = 8  # values listed in a line


def shares(sample: Sample) -> str:
    """The values of a sample of label files and how often they are, in a line."""
    counts = sample.counts
    whole = sum(counts.values())
    found = ", ".join(
        f"{value} {100 * count / whole:.3g} %" for value, count in counts.items()
    )
    if len(counts) > SHOWN:
        values = list(counts)
        found = f"{len(counts)} values from {values[0]} to {values[-1]}"
    looked = f"{len(sample.files)} of {sample.total} label files"
    return f"values in {looked}: {found}"


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
        return Meaning((replace(options, structures={n: (n,) for n in named}),))
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
    """Masks of structures; where they overlap, the larger ones are written first."""
    threshold = binarize_at(sample)
    by_name = {
        name: [source / family.files[case] for case in layout.cases[:MOST_CASES]]
        for name, family in zip(layout.structures, layout.drawn, strict=True)
        if set(layout.cases[:MOST_CASES]) <= set(family.files)
    }
    sizes, shared = overlap_of(by_name, threshold)
    found = replace(options, binarize=threshold, overlap="last" if shared else None)
    lines, names = [], layout.structures
    if threshold is not None:
        lines.append(f"stray greys: what is at least {threshold:g} is inside")
    if shared:
        lines.append("some voxels lie in two masks: the smaller structure gets them")
        names = tuple(sorted(names, key=lambda name: -sizes.get(name, 0)))
    if shared or len(names) <= SHOWN or "/{structure}." not in layout.labels:
        # Else the import takes all files of the folder as they are.
        found = replace(found, structures={name: (name,) for name in names})
    return Meaning((found,), "; ".join(lines))


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
