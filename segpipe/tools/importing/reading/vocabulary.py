"""Vocabulary: which values or names of a source make which structure of data/."""

from collections.abc import Collection, Mapping

from segpipe.project.errors import DataError

Source = int | str
# An int is the value in data/ and, in a label map, the value in the source as well.
Structures = Mapping[str, int | tuple[Source, ...]]
REST = "*"  # as a source: all that nobody names
BACKGROUND, IGNORE = "background", "ignore"
RESERVED = (BACKGROUND, IGNORE)  # names with a meaning in dataset.json


def parse_structures(texts: list[str]) -> Structures:
    """Parse texts NAME=VALUE[,VALUE…] or NAME=SOURCE[,SOURCE…] of the command line.

    Returns:
        The sources of each structure: an int for a single value, or else a tuple.

    Raises:
        DataError: If a text has another form, or a name or source is repeated.
    """
    structures: dict[str, int | tuple[Source, ...]] = {}
    seen: set[Source] = set()
    for text in texts:
        name, _, words = text.rpartition("=")
        sources = tuple(_parse(word.strip()) for word in words.split(","))
        if not name.strip() or "" in sources:
            raise DataError(
                f"--structure {text}: expected NAME=VALUE or NAME=SOURCE, as in "
                "nucleus=1, kidney=2,3 or kidney=kidney_left,kidney_right"
            )
        repeated = seen.intersection(sources) or len(set(sources)) < len(sources)
        if name in structures or repeated:
            raise DataError(f"--structure {text}: expected a new name and new sources")
        seen.update(sources)
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


def are_named(structures: Structures) -> bool:
    """Whether a source is a name, so that the labels must have names."""
    return any(
        isinstance(source, str) and source != REST
        for of in structures.values()
        if isinstance(of, tuple)
        for source in of
    )


def values_of(
    structures: Structures, *, named: bool, declared: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The value in data/ of each structure, without the background.

    In a label map it is the first of the structure's values. A structure that is made
    of names has the value that the data declare, or else the next number from 1.

    Args:
        structures: The sources of each structure.
        named: Whether the labels have names.
        declared: Values of the data that the new cases join.
    """
    found: dict[str, int] = {}
    taken = {of for of in structures.values() if isinstance(of, int)}
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
