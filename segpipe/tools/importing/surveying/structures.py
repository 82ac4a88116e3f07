"""Choose the structures of an import and their values, before anything is written."""

from dataclasses import replace
from pathlib import Path

from segpipe.dataset.description import RESERVED, Description
from segpipe.images.formats import slicer
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.reading.labels import LabelRules
from segpipe.tools.importing.reading.vocabulary import (
    BACKGROUND,
    IGNORE,
    REST,
    are_named,
    are_united,
    refuse_unseen,
    sources_of,
    values_of,
)
from segpipe.tools.importing.surveying.named import choose_named
from segpipe.tools.importing.surveying.unions import (
    check_united,
    keep_unions,
    unite_values,
)
from segpipe.tools.importing.surveying.values import LabelChoice, survey_values


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
    united = are_united(options.structures)
    if (existing or raw).regions_class_order is not None and not (existing and united):
        return keep_unions(raw, options, existing, rules)
    check_united(raw, options, existing)
    if raw.labels and not existing and are_named(options.structures):
        raw, options = _translated(raw, options)
    masks = any(case.masks and not case.masks.apart for case in raw.cases)
    if masks and options.instances:
        rules = replace(rules, instances=True)
    if masks or are_named(options.structures):
        return choose_named(raw, options, existing, rules)
    values = survey_values(raw, options, rules)
    if are_united(options.structures):
        return unite_values(options, existing, values, rules)
    labels, ignore = _choose_values(raw, options, existing, values)
    sources = sources_of(options.structures, labels, named=False)
    if existing and sources:  # the data name the other values
        sources |= {v: v for v in labels.values() if v and v not in sources}
    if options.instances or all(one == goal for one, goal in sources.items()):
        sources = {}  # the values stay as they are
    rules = replace(rules, ignore=ignore, sources=sources)
    kept = {v: values.get(v, raw.cases[0].label) for v in labels.values()}
    return LabelChoice(labels, ignore, rules, kept | ({} if sources else values))


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
    if options.instances and any(case.drawn.segments for case in raw.cases):
        raise DataError(
            "--instances: expected none beside a panoptic document, whose things keep "
            "their ids, found it; leave it out"
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


def _choose_values(
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
    values: dict[int, Path],
) -> tuple[dict[str, int], int | None]:
    """The value of each structure of label maps, and the value of ignore."""
    declared = existing.single if existing else raw.single
    reserved = [value for value in (options.ignore,) if value is not None]
    given = values_of(options.structures, named=False, reserved=reserved)
    ignore = options.ignore
    if existing is not None and raw.labels is None:
        labels = _labels_of(existing, options, raw.cases[0].label)
        ignore = existing.ignore
    elif declared is not None:
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


def _labels_of(
    existing: Description, options: ImportOptions, first: Path
) -> dict[str, int]:
    """The structures of the data that new cases join; options name them alike.

    Raises:
        DataError: If the options name others, or what is not annotated otherwise.
    """
    labels = {name: n for name, n in existing.single.items() if name != IGNORE}
    other = [name for name in options.structures if name not in labels]
    if other:
        said = options.structures[other[0]]
        value = ",".join(map(str, said if isinstance(said, tuple) else (said,)))
        name = next(name for name in labels if name != BACKGROUND)
        raise DataError(
            f"{first}: expected the structures of the data to add to "
            f"({', '.join(n for n in labels if n != BACKGROUND)}), found --structure "
            f"{other[0]}; give the one that is meant, as in --structure {name}={value}"
        )
    if options.ignore not in (None, existing.ignore):
        known = "none" if existing.ignore is None else str(existing.ignore)
        raise DataError(
            f"{first}: expected the value for what is not annotated of the data to add "
            f"to, {known}, found --ignore {options.ignore}; leave it out"
        )
    return labels


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
