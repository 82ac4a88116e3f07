"""The order of the tests for the workers of pytest-xdist: the longest files first."""

from collections.abc import Collection, Sequence
from typing import TypeVar

T = TypeVar("T")

# In CPU seconds from 150 to 30. One that begins last would leave a core without work.
LONGEST = (
    "tests/flows/running/test_distribution.py",
    "tests/test_combinations.py",
    "tests/test_project.py",
    "tests/test_reviewed.py",
    "tests/test_wheel.py",
    "tests/flows/test_retrain.py",
    "tests/flows/test_segment.py",
    "tests/registry/test_register.py",
    "tests/flows/services/test_services.py",
    "tests/stages/test_train.py",
    "tests/test_extremes.py",
    "tests/registry/test_versions.py",
)


def begin_with_the_longest(
    tests: Sequence[T], files: Sequence[str], *, workers: int, together: Collection[str]
) -> list[T]:
    """Order tests so that each worker begins with a share of the LONGEST files.

    `--dist worksteal` gives each worker a part of the list, all of the same length, and
    whoever has no more takes from the ends of the others' parts.

    Args:
        tests: The tests, as they were collected.
        files: The file of each.
        workers: How many workers there are.
        together: Files that share a server, with which the first worker begins: each
            worker would start one, and keep it until its own end.
    """
    pairs = list(zip(tests, files, strict=True))
    first = [name for name in LONGEST if name in together]
    first += sorted({*together} - {*first})
    others = [name for name in LONGEST if name not in together]
    aside = max(1, workers - 1) if first else workers
    shares = [others[number::aside] for number in range(aside)]
    if first:
        shares = [first, *shares] if workers > 1 else [first + others]
    known = {name for share in shares for name in share}
    rest = [test for test, file in pairs if file not in known]
    ordered: list[T] = []
    for worker, mine in enumerate(shares):
        size = (len(tests) - len(ordered)) // (workers - worker)
        part = [test for name in mine for test, file in pairs if file == name]
        filled = max(0, size - len(part)) if worker < workers - 1 else len(rest)
        ordered += part + rest[:filled]
        rest = rest[filled:]
    return ordered
