"""Choose the structures of an import and their values, before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segpipe.dataset.description import Description, Values
from segpipe.images.formats import slicer
from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCase, RawCases
from segpipe.tools.importing.reading.labels import (
    Drawn,
    LabelRules,
    names_in,
    read_label_map,
)
from segpipe.tools.importing.reading.vocabulary import (
    BACKGROUND,
    IGNORE,
    RESERVED,
    REST,
    are_named,
    refuse_unseen,
    sources_of,
    values_of,
)

# Label maps with more values hold instances or a measurement, not structures.
MOST_STRUCTURES = 200


@dataclass(frozen=True)
class LabelChoice:
    """The structures of an import.

    Attributes:
        labels: Value in data/ of each structure and of the background, or the values
            that a structure unites.
        ignore: The value that means *not annotated*.
        rules: How label files become label maps.
        values: The values that label maps of data/ will have, each with a file.
    """

    labels: Mapping[str, Values]
    ignore: int | None
    rules: LabelRules
    values: dict[int, Path]


def choose_labels(
    raw: RawCases, options: ImportOptions, existing: Description | None
) -> LabelChoice:
    """Choose the structures after reading all label maps, or the names of masks.

    Raises:
        DataError: If the files contradict each other, the options or the data set.
    """
    _check_options(raw, options)
    rules = LabelRules(
        ignore=options.ignore,
        binarize=options.binarize,
        overlap=options.overlap,
        key=options.label_key,
    )
    if (existing or raw).regions_class_order is not None:
        return _keep_unions(raw, options, existing, rules)
    if raw.labels and not existing and are_named(options.structures):
        raw, options = _translated(raw, options)
    masks = any(case.masks and not case.masks.apart for case in raw.cases)
    if masks and options.instances:
        rules = replace(rules, instances=True)
    if masks or are_named(options.structures):
        return _choose_named(raw, options, existing, rules)
    values = _survey_values(raw, options, rules)
    labels, ignore = _choose_values(raw, options, existing, values)
    sources = sources_of(options.structures, labels, named=False)
    if options.instances or all(one == goal for one, goal in sources.items()):
        sources = {}  # the values stay as they are
    rules = replace(rules, ignore=ignore, sources=sources)
    kept = {v: values.get(v, raw.cases[0].label) for v in labels.values()}
    return LabelChoice(labels, ignore, rules, kept | ({} if sources else values))


def _keep_unions(
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
    rules: LabelRules,
) -> LabelChoice:
    """The structures that overlap, as dataset.json declares them.

    Raises:
        DataError: If an option changes labels, or a label map has another value.
    """
    labels = dict((existing or raw).labels or {})
    chosen = (options.structures, options.ignore, options.binarize, options.overlap)
    if any(one not in (None, {}) for one in chosen) or options.instances:
        raise DataError(
            f"{raw.cases[0].label}: expected the label maps as they are, whose "
            f"structures overlap ({', '.join(labels)}), found options that change "
            "them; leave out --structure, --ignore, --binarize, --overlap and "
            "--instances"
        )
    if any(case.masks is not None for case in raw.cases):
        raise DataError(
            f"{raw.cases[0].label}: expected label maps with the values of the data "
            f"to add to ({', '.join(labels)}), found masks; write each case as one "
            "label map"
        )
    values = _survey_values(raw, options, rules)
    known = {n for own in labels.values() for n in np.atleast_1d(own).tolist()}
    if strange := sorted(set(values) - known):
        raise DataError(
            f"{values[strange[0]]}: expected the values of "
            f"{', '.join(f'{name} {own}' for name, own in labels.items())}, found "
            f"{strange[0]}; correct the label map"
        )
    ignore = labels.pop(IGNORE, None)
    assert ignore is None or isinstance(ignore, int)
    return LabelChoice(labels, ignore, replace(rules, ignore=ignore), values)


def _check_options(raw: RawCases, options: ImportOptions) -> None:
    if options.overlap not in (None, "first", "last"):
        raise DataError(
            f"--overlap {options.overlap}: expected first or last, in the order of "
            "--structure, found another word; give one of them"
        )
    apart = any(case.drawn.apart for case in raw.cases)
    if apart and not options.instances:
        raise DataError(
            "--labels: expected --instances beside {instance}, found none; give it, or "
            "write {structure} for masks of structures"
        )
    if options.instances and not apart and options.binarize is not None:
        raise DataError(
            "--binarize: expected none beside --instances, found one; instance ids "
            "are no grey values: leave one of the two out"
        )
    masks = any(case.drawn.names for case in raw.cases)
    if masks and (options.instances or options.ignore is not None):
        raise DataError(
            "--labels: expected a label map a case beside --instances or --ignore, "
            "found masks of structures; leave these options out"
        )


def _translated(
    raw: RawCases, options: ImportOptions
) -> tuple[RawCases, ImportOptions]:
    """The values of dataset.json for the names in the options; the rest is left out."""
    declared = {n: v for n, v in (raw.single or {}).items() if n not in RESERVED}
    values = values_of(options.structures, named=True)
    names = sources_of(options.structures, values, named=True)
    refuse_unseen(names, declared)
    by_name = {
        name: tuple(declared.get(str(one), one) for one in of)
        if isinstance(of, tuple)
        else (declared[name],)
        for name, of in options.structures.items()
    }
    by_name.setdefault(BACKGROUND, (REST,))
    ignore = (raw.single or {}).get(IGNORE, options.ignore)
    return (
        replace(raw, labels=None),
        replace(options, structures=by_name, ignore=ignore),
    )


def _choose_named(
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
    rules: LabelRules,
) -> LabelChoice:
    """The structures of masks, or of segments that headers name."""
    seen: dict[str, Path] = {}
    for case in raw.cases:
        for drawn in (case.drawn, *case.observers.values()):
            for name in _names(drawn):
                seen.setdefault(name, drawn.files[0])
    structures = options.structures or {name: (name,) for name in sorted(seen)}
    declared = existing.single if existing else None
    values = values_of(structures, named=True, declared=declared)
    sources = sources_of(structures, values, named=True)
    refuse_unseen(sources, seen)
    wrong = [name for name in values if name in RESERVED]
    if wrong:
        raise DataError(
            f"{seen.get(wrong[0], raw.cases[0].label)}: expected names of structures, "
            f"found {wrong[0]!r}, which dataset.json reserves; give --structure "
            f"NAME={wrong[0]}"
        )
    if declared is not None:
        other = [name for name, value in values.items() if declared.get(name) != value]
        if other:
            raise DataError(
                f"{seen.get(other[0], raw.cases[0].label)}: expected the structures of "
                f"the data to add to ({', '.join(declared)}), found {other[0]}; give "
                "--structure NAME=SOURCE with a name of the data"
            )
        values = {n: v for n, v in declared.items() if n not in RESERVED}
    labels = {BACKGROUND: 0, **values}
    if options.instances and len(values) != 1:
        raise DataError(
            f"--instances: expected one structure, found {', '.join(values) or 'none'};"
            " give --structure NAME=SOURCE for one of them, or for several in one: "
            "NAME=SOURCE,SOURCE"
        )
    return LabelChoice(
        labels,
        declared.get(IGNORE) if declared else None,
        replace(rules, sources=sources, named=True),
        dict.fromkeys(labels.values(), raw.cases[0].label),
    )


def _names(drawn: Drawn) -> tuple[str, ...]:
    names = names_in(drawn)
    if not names and drawn.drawing is None:
        raise DataError(
            f"{drawn.files[0]}: expected names of structures, as masks and 3D Slicer's "
            "segmentations have them, found a label map without; give --structure "
            "NAME=VALUE"
        )
    return names


def _choose_values(
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
    values: dict[int, Path],
) -> tuple[dict[str, int], int | None]:
    """The value of each structure of label maps, and the value of ignore."""
    declared = existing.single if existing else raw.single
    ignore, given = options.ignore, values_of(options.structures, named=False)
    if declared is not None:
        structures = {n: v for n, v in declared.items() if n not in RESERVED}
        if given not in ({}, structures) or ignore not in (None, declared.get(IGNORE)):
            raise DataError(
                f"{raw.cases[0].label}: expected the labels that dataset.json "
                f"declares, found --structure or --ignore as well; leave them out"
            )
        labels = {name: value for name, value in declared.items() if name != IGNORE}
        ignore = declared.get(IGNORE)
    elif options.structures:
        labels = {BACKGROUND: 0, **given}
    elif options.instances:
        labels = {BACKGROUND: 0, "structure_1": 1}
    else:
        names = _header_names(raw)
        found = sorted(set(values) - {0, ignore})
        labels = {BACKGROUND: 0} | {names.get(v, f"structure_{v}"): v for v in found}
    if options.instances:
        if len(labels) != 2:
            raise DataError(
                f"--instances: expected one structure, found {', '.join(labels)}; "
                "instance ids of several structures cannot be told apart"
            )
        return labels, ignore
    sources = sources_of(options.structures, labels, named=False)
    strange = sorted(set(values) - {0, *labels.values(), *sources, ignore})
    if strange and REST not in sources:
        found_in = ", ".join(f"{value} in {values[value]}" for value in strange[:8])
        raise DataError(
            f"labels: expected {', '.join(f'{k} {v}' for k, v in labels.items())}, "
            f"found {found_in}; name each with --structure NAME=VALUE, leave out the "
            "rest with --structure 'background=*', or correct the maps"
        )
    return labels, ignore


def _header_names(raw: RawCases) -> dict[int, str]:
    """Names of values in headers of 3D Slicer, where they are one to one."""
    found: dict[int, set[str]] = {}
    for case in raw.cases:
        for value, name in slicer.read_segment_names(case.label).items():
            found.setdefault(value, set()).add(name)
    single = {value: names.pop() for value, names in found.items() if len(names) == 1}
    names = list(single.values())
    return {
        value: name
        for value, name in single.items()
        if names.count(name) == 1 and name not in RESERVED and value
    }


def _survey_values(
    raw: RawCases, options: ImportOptions, rules: LabelRules
) -> dict[int, Path]:
    """Each value, of instance ids only the extremes, with a file that holds it."""
    seen: dict[int, Path] = {}
    total = len(raw.cases)
    for case in track(raw.cases, "look at labels", total=total, unit="file"):
        for path in _label_maps(case):
            array = read_label_map(path, rules=rules).array
            ends = [array.min(), array.max()]
            for value in ends if options.instances else np.unique(array):
                seen.setdefault(int(value), path)
            if options.instances and array[array != options.ignore].min(initial=0) < 0:
                raise DataError(
                    f"{path}: expected instance ids from 1 and 0 for none, found "
                    f"{int(array.min())}; if that means not annotated, use --ignore"
                )
            if not options.instances and len(seen) > MOST_STRUCTURES:
                raise DataError(
                    f"{path}: expected structures, found more than {MOST_STRUCTURES} "
                    "values so far; if they are instance ids, use --instances"
                )
    return seen


def _label_maps(case: RawCase) -> list[Path]:
    return [case.label, *(drawn.files[0] for drawn in case.observers.values())]
