"""Structures of masks, of shapes and of segments: what has a name in its file."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from segpipe.dataset.description import RESERVED, Description
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.reading.labels import Drawn, LabelRules, names_in
from segpipe.tools.importing.reading.panoptic import UNTOLD
from segpipe.tools.importing.reading.shapes import geojson
from segpipe.tools.importing.reading.vocabulary import (
    BACKGROUND,
    IGNORE,
    Source,
    Structures,
    are_united,
    refuse_unseen,
    sources_in,
    sources_of,
    values_of,
    with_rest,
)
from segpipe.tools.importing.surveying.unions import unite
from segpipe.tools.importing.surveying.values import LabelChoice


def choose_named(
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
    rules: LabelRules,
) -> LabelChoice:
    """The structures of masks, of shapes, or of segments that headers name."""
    seen: dict[str, Path] = {}
    for case in raw.cases:
        for drawn in (case.drawn, *case.observers.values()):
            for name in _names(drawn):
                seen.setdefault(name, drawn.files[0])
            _refuse_grey(drawn, options)
    first = raw.cases[0].label
    structures = dict(with_rest(_wanted(options, seen), sorted({*seen} - {*UNTOLD})))
    structures = _with_untold(structures, seen, existing)
    unknown = structures.pop(IGNORE, None)
    refuse_unseen(_names_of(structures), seen)
    if unknown is not None:
        refuse_unseen(_names_of({IGNORE: unknown}), seen)
    if are_united(structures):
        united = unite(structures, named=True, existing=existing)
        rules = replace(rules, sources=united.sources, holders=united.holders)
        values = [0, *united.holders]
        choice = LabelChoice(united.labels, None, rules, {}, united.order)
    else:
        labels = _number_named(structures, existing, seen, first)
        sources = sources_of(structures, labels, named=True)
        rules, values = replace(rules, sources=sources), [*labels.values()]
        choice = LabelChoice(labels, None, rules, {})
    if options.instances and (len(choice.labels) != 2 or unknown):
        found = [*choice.labels, *([IGNORE] if unknown else [])]
        raise DataError(
            f"--instances: expected one structure, found {', '.join(found[1:])};"
            " give --structure NAME=SOURCE for one of them, or for several in one: "
            "NAME=SOURCE,SOURCE"
        )
    ignore = existing.ignore if existing else None
    if unknown is not None:
        ignore = _number_ignore(unknown, values, existing)
        names = _names_of({IGNORE: unknown})
        rules = replace(
            rules,
            sources={**rules.sources, **dict.fromkeys(names, ignore)},
            holders={**rules.holders, ignore: frozenset({IGNORE})},
        )
    rules = replace(rules, named=True)
    kept = dict.fromkeys([*values, *filter(None, [ignore])], first)
    return replace(choice, ignore=ignore, rules=rules, values=kept)


def _wanted(options: ImportOptions, seen: Collection[str]) -> Structures:
    """The structures of the options; or all names, if they say of none what it is.

    What QuPath ignores is not annotated.
    """
    given = options.structures
    if sources_in(given) - {*UNTOLD}:
        return given
    names = sorted({*seen} - {geojson.IGNORED, *UNTOLD})
    found: Structures = {name: (name,) for name in names}
    ignored = {IGNORE: (geojson.IGNORED,)} if geojson.IGNORED in seen else {}
    return {**found, **ignored, **given}


def _with_untold(
    structures: Structures, seen: Mapping[str, Path], existing: Description | None
) -> dict[str, int | tuple[Source, ...]]:
    """The structures, and what nobody told of segments as not annotated.

    Raises:
        DataError: If the data that the new cases join know no such voxels.
    """
    found, named = dict(structures), sources_in(structures)
    left = tuple(one for one in UNTOLD if one in seen and one not in named)
    if left and existing is not None and existing.ignore is None:
        raise DataError(
            f"{seen[left[0]]}: expected all pixels in a segment of its own, as the "
            f"data to add to have no ignore, found {' and '.join(left)}; say that they "
            f"are background: --structure 'background={','.join(left)}'"
        )
    if left:
        known = found.get(IGNORE, ())
        found[IGNORE] = (*known, *left) if isinstance(known, tuple) else left
    return found


def _names_of(structures: Structures) -> dict[str, None]:
    """The names that labels must have for these structures."""
    return {
        str(one): None
        for name, of in structures.items()
        for one in (of if isinstance(of, tuple) else (name,))
    }


def _number_ignore(
    unknown: int | tuple[Source, ...],
    values: Collection[int],
    existing: Description | None,
) -> int:
    """The value of what is not annotated: of the data, as given, or above all others.

    Raises:
        DataError: If the data that the new cases join have none, or it is not free.
    """
    ignore = unknown if isinstance(unknown, int) else max(values) + 1
    if existing is not None:
        if existing.ignore is None:
            raise DataError(
                f"--structure {IGNORE}=…: expected structures of the data to add to "
                f"({', '.join(existing.structures)}), found what is not annotated, "
                "which these data do not have; leave it out"
            )
        ignore = existing.ignore
    if ignore in values:
        raise DataError(
            f"--structure {IGNORE}={ignore}: expected a value that no structure has, "
            "found one; give another"
        )
    return ignore


def _refuse_grey(drawn: Drawn, options: ImportOptions) -> None:
    """Refuse options that labels with names cannot follow.

    Raises:
        DataError: If there is one.
    """
    if options.ignore is not None:
        raise DataError(
            f"{drawn.files[0]}: expected no --ignore where labels have names, found "
            f"{options.ignore}; name what is not annotated: --structure {IGNORE}=NAME"
        )
    if options.binarize is not None and not drawn.names and not drawn.apart:
        raise DataError(
            f"{drawn.files[0]}: expected no --binarize beside shapes and segments, "
            f"which have no grey values, found {options.binarize:g}; leave it out"
        )


def _number_named(
    structures: Structures,
    existing: Description | None,
    seen: Mapping[str, Path],
    first: Path,
) -> dict[str, int]:
    """The value in data/ of each structure that names make, and of the background.

    Raises:
        DataError: If a name is reserved, or the data that the new cases join have
            other structures.
    """
    declared = existing.single if existing else None
    values = values_of(structures, named=True, declared=declared)
    wrong = [name for name in values if name in RESERVED]
    if wrong:
        raise DataError(
            f"{seen.get(wrong[0], first)}: expected names of structures, "
            f"found {wrong[0]!r}, which dataset.json reserves; give --structure "
            f"NAME={wrong[0]}"
        )
    if declared is not None:
        other = [name for name, value in values.items() if declared.get(name) != value]
        if other:
            raise DataError(
                f"{seen.get(other[0], first)}: expected the structures of "
                f"the data to add to ({', '.join(declared)}), found {other[0]}; give "
                "--structure NAME=SOURCE with a name of the data"
            )
        values = {n: v for n, v in declared.items() if n not in RESERVED}
    return {BACKGROUND: 0, **values}


def _names(drawn: Drawn) -> tuple[str, ...]:
    names = names_in(drawn)
    if not names and drawn.drawing is None:
        raise DataError(
            f"{drawn.files[0]}: expected names of structures, as masks and 3D Slicer's "
            "segmentations have them, found a label map without; give --structure "
            "NAME=VALUE"
        )
    return names
