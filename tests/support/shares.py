"""The order of the tests for the workers of pytest-xdist: the longest files first."""

from collections.abc import Sequence
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
    tests: Sequence[T], files: Sequence[str], *, workers: int
) -> list[T]:
    """Order tests so that each worker begins with a share of the LONGEST files.

    `--dist worksteal` gives each worker a part of the list, all of the same length, and
    whoever has no more takes from the ends of the others' parts.

    Args:
        tests: The tests, as they were collected.
        files: The file of each.
        workers: How many workers there are.
    """
    pairs = list(zip(tests, files, strict=True))
    rest = [test for test, file in pairs if file not in LONGEST]
    ordered: list[T] = []
    for worker in range(workers):
        size = (len(tests) - len(ordered)) // (workers - worker)
        mine = LONGEST[worker::workers]
        part = [test for name in mine for test, file in pairs if file == name]
        filled = max(0, size - len(part)) if worker < workers - 1 else len(rest)
        ordered += part + rest[:filled]
        rest = rest[filled:]
    return ordered
