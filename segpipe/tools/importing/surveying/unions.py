"""Structures that are unions, and so overlap: what options and data say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.dataset.description import Description, Values, label_faults
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.reading.labels import LabelRules
from segpipe.tools.importing.reading.vocabulary import (
    BACKGROUND,
    IGNORE,
    REST,
    Source,
    Structures,
    are_united,
    with_rest,
)
from segpipe.tools.importing.surveying.values import LabelChoice, survey_values


@dataclass(frozen=True)
class United:
    """Structures that are unions of values.

    Attributes:
        labels: Value or values of each structure, and 0 of the background; large
            structures before those inside them.
        order: The value as which each structure is written, for regions_class_order.
        sources: The value in data/ of each source, in the order of painting.
        holders: The structures that hold each value.
    """

    labels: Mapping[str, Values]
    order: tuple[int, ...]
    sources: dict[Source, int]
    holders: Mapping[int, frozenset[str]]


def unite(
    structures: Structures,
    *,
    named: bool,
    ignore: int | None = None,
    existing: Description | None = None,
) -> United:
    """Give each source a value of its own, and each structure those of its sources.

    A value of a label map stays. Names have the values of the data that they join, or
    else the numbers from 1.

    Args:
        structures: The sources of each structure.
        named: Whether the labels have names.
        ignore: The value that means *not annotated*.
        existing: Description of the data that the new cases join.

    Raises:
        DataError: If label maps could not say the structures, or the data have others.
    """
    sets = _sets(structures, named=named)
    held: dict[Source, frozenset[str]] = {}
    for name, own in sets.items():
        for one in own:
            held[one] = held.get(one, frozenset()) | {name}
    chosen = sorted(held, key=lambda one: len(held[one]))
    numbers = _numbers(chosen, held, structures, existing) if named else {}
    values = {one: numbers.get(one, one) for one in chosen}
    whole = {one: int(value) for one, value in values.items() if value != REST}
    labels: dict[str, Values] = {BACKGROUND: 0}
    for name, own in sets.items():
        found = tuple(whole[one] for one in own)
        labels[name] = found if len(found) > 1 else found[0]
    depth = {whole[one]: len(names) for one, names in held.items()}
    order = tuple(
        min((whole[o] for o in own), key=depth.__getitem__) for own in sets.values()
    )
    faults = label_faults(labels | ({} if ignore is None else {IGNORE: ignore}), order)
    if faults:
        raise DataError(f"--structure: {'; '.join(faults)}")
    if existing is not None:
        order = _check_same(labels, existing)
        labels = existing.structures
    background = structures.get(BACKGROUND, ())
    assert isinstance(background, tuple)
    return United(
        labels,
        order,
        {**whole, **dict.fromkeys(background, 0)},
        {whole[one]: names for one, names in held.items()},
    )


def _sets(structures: Structures, *, named: bool) -> dict[str, tuple[Source, ...]]:
    """The sources of each structure, those of many first."""
    sets = {
        name: of if isinstance(of, tuple) else ((name if named else of),)
        for name, of in structures.items()
        if name not in (BACKGROUND, IGNORE)
    }
    return dict(sorted(sets.items(), key=lambda pair: -len(pair[1])))


def _numbers(
    chosen: list[Source],
    held: Mapping[Source, frozenset[str]],
    structures: Structures,
    existing: Description | None,
) -> dict[Source, int]:
    """The value of each name: of the data that they join, as given, or the next one."""
    known: dict[frozenset[str], list[int]] = {}
    if existing is not None:
        sets = {n: _values(own) for n, own in existing.structures.items()}
        for value in sorted({v for own in sets.values() for v in own}):
            names = frozenset(name for name, own in sets.items() if value in own)
            known.setdefault(names, []).append(value)
    found: dict[Source, int] = {
        name: of for name, of in structures.items() if isinstance(of, int)
    }
    for one in chosen:
        if one not in found and (same := known.get(held[one])):
            found[one] = same.pop(0)
    for one in chosen:
        if one not in found:
            found[one] = next(n for n in range(1, 1 << 16) if n not in found.values())
    return found


def _check_same(labels: Mapping[str, Values], existing: Description) -> tuple[int, ...]:
    """Check the labels against those of the data, whose order it returns.

    Raises:
        DataError: If they differ.
    """
    mine = {name: set(_values(own)) for name, own in labels.items()}
    known = {name: set(_values(own)) for name, own in existing.structures.items()}
    if mine != known or existing.regions_class_order is None:
        raise DataError(
            "--structure: expected the structures of the data to add to, "
            f"{_shown(existing.structures)}, found {_shown(labels)}; give each the "
            "same parts"
        )
    return existing.regions_class_order


def _values(own: Values) -> tuple[int, ...]:
    return own if isinstance(own, tuple) else (own,)


def _shown(labels: Mapping[str, Values]) -> str:
    pairs = (
        f"{name} {','.join(map(str, _values(own)))}" for name, own in labels.items()
    )
    return "; ".join(pairs)


def keep_unions(
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
    values = survey_values(raw, options, rules)
    known = {n for own in labels.values() for n in _values(own)}
    if strange := sorted(set(values) - known):
        raise DataError(
            f"{values[strange[0]]}: expected the values of "
            f"{', '.join(f'{name} {own}' for name, own in labels.items())}, found "
            f"{strange[0]}; correct the label map"
        )
    ignore = labels.pop(IGNORE, None)
    assert ignore is None or isinstance(ignore, int)
    order = (existing or raw).regions_class_order
    return LabelChoice(labels, ignore, replace(rules, ignore=ignore), values, order)


def check_united(
    raw: RawCases, options: ImportOptions, existing: Description | None
) -> None:
    """Refuse structures that overlap where nothing can hold them.

    Raises:
        DataError: If that is so.
    """
    if not are_united(options.structures):
        return
    if options.instances:
        raise DataError(
            "--instances: expected one structure, found structures that overlap; leave "
            "the option out, or name one structure"
        )
    if existing is not None and existing.regions_class_order is None:
        raise DataError(
            f"{raw.cases[0].label}: expected the structures of the data to add to "
            f"({', '.join(existing.structures)}), which do not overlap, found "
            "--structure with unions; name each source once"
        )


def unite_values(
    options: ImportOptions,
    existing: Description | None,
    values: dict[int, Path],
    rules: LabelRules,
) -> LabelChoice:
    """The structures of label maps whose values the options unite.

    Raises:
        DataError: If a value is left that no option names.
    """
    ignore = existing.ignore if existing else options.ignore
    left = [value for value in values if value not in (0, ignore)]
    structures = with_rest(options.structures, left)
    united = unite(structures, named=False, ignore=ignore, existing=existing)
    strange = sorted(set(left) - {*united.sources})
    if strange:
        raise DataError(
            f"{values[strange[0]]}: expected values that --structure names, found "
            f"{', '.join(map(str, strange))}; name each, or leave out the rest with "
            "--structure 'background=*'"
        )
    dropped = any(goal == 0 for goal in united.sources.values())
    rules = replace(rules, ignore=ignore, sources=united.sources if dropped else {})
    return LabelChoice(united.labels, ignore, rules, values, united.order)
