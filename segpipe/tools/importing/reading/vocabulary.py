"""Vocabulary: which values or names of a source make which structure of data/."""

from collections.abc import Collection, Mapping

from segpipe.dataset.description import RESERVED
from segpipe.project.errors import DataError

Source = int | str
# An int is the value in data/ and, in a label map, the value in the source as well.
Structures = Mapping[str, int | tuple[Source, ...]]
REST = "*"  # as a source: all that nobody names
BACKGROUND, IGNORE = RESERVED


def parse_structures(texts: list[str]) -> Structures:
    """Parse texts NAME=VALUE[,VALUE…] or NAME=SOURCE[,SOURCE…] of the command line.

    Returns:
        The sources of each structure: an int for a single value, or else a tuple.
        Structures that share a source are unions of them, which overlap.

    Raises:
        DataError: If a text has another form, or a name is repeated.
    """
    structures: dict[str, int | tuple[Source, ...]] = {}
    seen: set[Source] = set()
    no_structure: set[Source] = set()
    for text in texts:
        name, _, words = text.rpartition("=")
        sources = tuple(_parse(word.strip()) for word in words.split(","))
        if not name.strip() or "" in sources:
            raise DataError(
                f"--structure {text}: expected NAME=VALUE or NAME=SOURCE, as in "
                "nucleus=1, kidney=2,3 or kidney=kidney_left,kidney_right"
            )
        if name in structures or len(set(sources)) < len(sources):
            raise DataError(
                f"--structure {text}: expected a new name and each source once, found "
                "one again; leave it out"
            )
        if other := [
            n for n, of in structures.items() if {*sources} == {*_several(of)}
        ]:
            raise DataError(
                f"--structure {text}: expected other sources than those of {other[0]}, "
                "found the same; leave one of the two out"
            )
        alone = {REST} if name != BACKGROUND else {*seen}
        if lost := (alone & {*sources} & {*seen}) or (no_structure & {*sources}):
            raise DataError(
                f"--structure {text}: expected sources of structures alone, found "
                f"{', '.join(map(str, lost))} twice, of which one is the background or "
                "all the rest; leave one out"
            )
        seen.update(sources)
        no_structure |= {*sources} if name == BACKGROUND else set()
        first = sources[0]
        single = len(sources) == 1 and isinstance(first, int) and name != BACKGROUND
        structures[name] = first if single and isinstance(first, int) else sources
    return structures


def _parse(word: str) -> Source:
    return int(word) if word.removeprefix("-").isdecimal() else word


def format_structures(structures: Structures) -> list[str]:
    """The texts that parse_structures reads as these structures."""
    return [
        f"{name}={','.join(map(str, (of,) if isinstance(of, int) else of))}"
        for name, of in structures.items()
    ]


def are_united(structures: Structures) -> bool:
    """Whether two structures share a source, so that they are unions that overlap."""
    found = [one for of in structures.values() for one in _several(of)]
    return len(set(found)) < len(found)


def sources_in(structures: Structures) -> set[Source]:
    """All values and names that the structures are made of."""
    return {one for of in structures.values() for one in _several(of)}


def _several(of: int | tuple[Source, ...]) -> tuple[Source, ...]:
    return of if isinstance(of, tuple) else (of,)


def with_rest(structures: Structures, seen: Collection[Source]) -> Structures:
    """The structures with the names or values that nobody names in place of ``*``.

    Raises:
        DataError: If a structure is made of the rest, and there is none.
    """
    taken = sources_in(structures)
    taken |= {name for name, of in structures.items() if isinstance(of, int)}
    rest = tuple(one for one in seen if one not in taken)
    found: dict[str, int | tuple[Source, ...]] = {}
    for name, of in structures.items():
        if isinstance(of, int) or REST not in of:
            found[name] = of
            continue
        others = tuple(one for one in of if one != REST) + rest
        if not others and name != BACKGROUND:
            raise DataError(
                f"--structure {name}={REST}: expected labels that no other option "
                "names, found none; leave it out"
            )
        if others:
            found[name] = others
    return found


def is_plain(name: str) -> bool:
    """Whether --structure can say a name that labels have."""
    marked = set(name) & set(",=") or name.removeprefix("-").isdecimal()
    known = name in (REST, *RESERVED)
    return bool(name) and not marked and not known and name == name.strip()


def are_named(structures: Structures) -> bool:
    """Whether a source is a name, so that the labels must have names."""
    return any(
        isinstance(source, str) and source != REST
        for of in structures.values()
        if isinstance(of, tuple)
        for source in of
    )


def values_of(
    structures: Structures,
    *,
    named: bool,
    declared: Mapping[str, int] | None = None,
    reserved: Collection[int] = (),
) -> dict[str, int]:
    """The value in data/ of each structure, without the background.

    In a label map it is the first of the structure's values. A structure that is made
    of names has the value that the data declare, or else the next number from 1.

    Args:
        structures: The sources of each structure.
        named: Whether the labels have names.
        declared: Values of the data that the new cases join.
        reserved: Values that none may get without a value of its own.
    """
    found: dict[str, int] = {}
    taken = {of for of in structures.values() if isinstance(of, int)} | {*reserved}
    if not named:
        taken |= {
            n for of in structures.values() for n in _several(of) if isinstance(n, int)
        }
    for name, of in structures.items():
        if name == BACKGROUND:
            continue
        if isinstance(of, int):
            found[name] = of
        elif not named and isinstance(of[0], int):
            found[name] = of[0]
        elif declared and name in declared:
            found[name] = declared[name]
        else:
            found[name] = next(n for n in range(1, 1 << 16) if n not in taken)
            taken.add(found[name])
    return found


def sources_of(
    structures: Structures, values: Mapping[str, int], *, named: bool
) -> dict[Source, int]:
    """The value in data/ of each source; what is not a key is not named.

    Args:
        structures: The sources of each structure.
        values: The value in data/ of each structure.
        named: Whether the labels have names; then an int is a value in data/ of the
            segment that bears the structure's name.
    """
    found: dict[Source, int] = {}
    for name, of in structures.items():
        sources = of if isinstance(of, tuple) else (name if named else of,)
        found |= dict.fromkeys(sources, 0 if name == BACKGROUND else values[name])
    return found


def refuse_unseen(wanted: Collection[Source], seen: Collection[str]) -> None:
    """Refuse names of the options that no label has.

    Raises:
        DataError: If there are such names.
    """
    unseen = sorted({str(one) for one in wanted if one != REST} - set(seen))
    if unseen:
        raise DataError(
            f"--structure: expected names that the labels have, found "
            f"{', '.join(unseen)}, but the labels have {', '.join(sorted(seen))}; "
            "correct the spelling, or leave them out"
        )
