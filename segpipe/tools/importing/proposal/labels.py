"""Propose what the values and names of label files mean."""

from collections.abc import Sequence
from dataclasses import replace
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


def propose_labels(
    options: ImportOptions,
    layout: Layout,
    sample: Sample,
    *,
    files: Sequence[Path],
    source: Path,
) -> tuple[list[ImportOptions], str]:
    """Propose structures, instances, ignore and binarize.

    Args:
        options: The options until now.
        layout: Where the files lie and what their names say.
        sample: Values of some of them.
        files: All label files.
        source: The folder.

    Returns:
        The options, several if the values may mean several things, and what is open.
    """
    if layout.structures:
        return [_propose_masks(options, layout, sample, source)], ""
    named = segment_names(files)
    if named:
        return [replace(options, structures={n: (n,) for n in named})], ""
    only = layout.name or "structure_1"
    if one_value_each(sample):
        merged = tuple(sample.values)
        return [replace(options, structures={only: merged})], ""
    binarize = binarize_at(sample)
    if binarize is not None:
        found = replace(options, structures={only: 1}, binarize=float(binarize))
        return [found], ""
    values = sample.values
    if len(values) == 1:
        return [replace(options, structures={only: values[0]})], ""
    as_structures = replace(options, structures=_numbered(values))
    as_instances = replace(options, instances=True, structures={only: 1})
    decided = are_instances(sample)
    if decided is None:
        doubt = "the values may be structures, or ids of instances of one structure"
        return [as_instances, as_structures], doubt
    if decided:
        return [as_instances], ""
    if may_ignore(sample):
        kept = [value for value in values if value != IGNORE]
        unknown = replace(options, structures=_numbered(kept), ignore=IGNORE)
        doubt = f"{IGNORE} may mean not annotated, or be a structure"
        return [unknown, as_structures], doubt
    return [as_structures], ""


def _propose_masks(
    options: ImportOptions, layout: Layout, sample: Sample, source: Path
) -> ImportOptions:
    """Masks of structures; where they overlap, the larger ones are written first."""
    binarize = binarize_at(sample)
    threshold = None if binarize is None else float(binarize)
    by_name = {
        name: [source / family.files[case] for case in layout.cases[:MOST_CASES]]
        for name, family in zip(layout.structures, layout.drawn, strict=True)
        if set(layout.cases[:MOST_CASES]) <= set(family.files)
    }
    sizes, shared = overlap_of(by_name, threshold)
    names = sorted(layout.structures, key=lambda name: -sizes.get(name, 0))
    return replace(
        options,
        structures={name: (name,) for name in (names if shared else layout.structures)},
        binarize=threshold,
        overlap="last" if shared else None,
    )


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
