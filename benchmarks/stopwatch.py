"""Where the time of nested work goes: what is inside is not counted outside."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Seconds under each name; a name that opens stops the one around it."""

    def __init__(self) -> None:
        """Nothing spent yet."""
        self.spent: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def under(self, name: str) -> Iterator[None]:
        """Count what happens inside under this name."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]] += now - self._since
        self._since = now

    def steps(self, name: str, work: Iterable[Any]) -> Iterator[Any]:
        """An iterator, each of whose steps is counted."""
        iterator = iter(work)
        while True:
            with self.under(name):
                item = next(iterator, self)
            if item is self:
                return
            yield item

    def calls(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """A function, each of whose calls is counted."""

        def counted(*given: Any, **named: Any) -> Any:
            with self.under(name):
                return work(*given, **named)

        return counted

    def generators(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """A function that gives an iterator, each of whose steps is counted."""
        return lambda *given, **named: self.steps(name, work(*given, **named))
