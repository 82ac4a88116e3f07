"""Progress: what a command is at, in bars on a terminal and in log lines elsewhere.

A command that has said nothing for QUIET_S seconds says what it is at, how far it is
and how long it still takes, whatever the work is: ``speaking`` sees to it in a thread.
"""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import parent_process
from typing import ClassVar, Never, TypeVar

from tqdm import tqdm

T = TypeVar("T")
QUIET_S = 6.0  # of silence at most, before a line; readers are promised ten
BAR_AFTER_S = 1.0  # what is done sooner needs no bar
TICK_S = 0.5  # between looks, and between two drawings of the bars

log = logging.getLogger(__name__)


class Work:
    """A piece of work that is under way.

    Attributes:
        what: What is done, in words.
        total: How many items it has; None if it is one piece.
        unit: What an item is.
        done: How many items are done.
        bar: Its bar; None if it has none.
    """

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self._began = time.monotonic()
        self.bar: tqdm[Never] | None = None
        # tqdm draws none where stderr is no terminal; nor do workers of this process.
        if total is not None and total > 1 and parent_process() is None:
            self.bar = tqdm(
                total=total,
                desc=what,
                unit=unit,
                disable=None,
                leave=False,
                delay=BAR_AFTER_S,
            )

    def advance(self, count: int = 1) -> None:
        """Count items that are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)

    @property
    def left_s(self) -> float:
        """Seconds until the end at the pace so far; NaN before the first item."""
        if not self.total or not self.done:
            return math.nan
        return (time.monotonic() - self._began) / self.done * (self.total - self.done)

    def __str__(self) -> str:
        """How far it is: ``segment: 2 of 5 cases, 31 s, about 0:00:47 left``."""
        words = f"{time.monotonic() - self._began:.0f} s"
        if self.total is None:
            return f"{self.what}, {words}"
        many = "" if self.total == 1 else "s"
        words = f"{self.done} of {self.total} {self.unit}{many}, {words}"
        return f"{self.what}: {words}{describe_left(self.left_s)}"

    def close(self) -> None:
        """Take the bar off the terminal, or leave it there complete."""
        if self.bar is not None:
            self.bar.close()


WORKS: list[Work] = []  # of this process, the outer ones first


def describe_left(seconds: float) -> str:
    """``, about 0:01:20 left``; nothing where it is not known."""
    if math.isnan(seconds):
        return ""
    return f", about {timedelta(seconds=math.ceil(seconds))} left"


@contextmanager
def work(what: str, *, total: int | None = None, unit: str = "") -> Iterator[Work]:
    """Tell what is done inside the block.

    Args:
        what: What is done, in words.
        total: How many items it has, each counted with ``advance``; None for one piece.
        unit: What an item is, in the singular.
    """
    one = Work(what, total, unit)
    WORKS.append(one)
    try:
        yield one
    finally:
        WORKS.remove(one)
        one.close()


def track(items: Iterable[T], what: str, *, total: int, unit: str) -> Iterator[T]:
    """Pass items on, and count each when the next one is asked for."""
    with work(what, total=total, unit=unit) as one:
        for item in items:
            yield item
            one.advance()


class Lines(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes lines of the log to stderr, above the bars where there are some."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        heard()
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class _Silence:
    """Since when nothing was said in this process, on the clock of time.monotonic."""

    since_s = time.monotonic()
    held = False  # while a person is asked
    # The blocks of speaking that are under way; the innermost one speaks for all.
    blocks: ClassVar[list[object]] = []


def heard() -> None:
    """Note that something was said, so that silence begins anew."""
    _Silence.since_s = time.monotonic()


@contextmanager
def speaking(
    command: str,
    *,
    quiet_s: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Let no more than some seconds pass in silence while the block runs.

    On a terminal the bars are drawn anew, so that their clocks go; elsewhere, and
    between the bars, a line is logged. Of blocks inside each other the innermost one
    speaks, unless it is too short for that.

    Args:
        command: What runs, for the line of a command that names no work.
        quiet_s: Seconds of silence before a line; by default QUIET_S.
        say: Takes the lines; by default the log does.
    """
    quiet_s = quiet_s or QUIET_S
    ended, began = threading.Event(), time.monotonic()
    if not _Silence.blocks:  # in another block, what was silent is so still
        heard()
    _Silence.blocks.append(ended)

    def watch() -> None:
        tick = min(TICK_S, quiet_s / 2)
        while not ended.wait(tick):
            for bar in _bars():
                bar.refresh()
            seen = say is None and _bars()  # whoever gives say sees no bars
            # An outer block gives the inner ones time, and speaks if they are short.
            wait_s = quiet_s + 2 * tick * (_Silence.blocks[-1:] != [ended])
            quiet = time.monotonic() - _Silence.since_s >= wait_s
            if _Silence.held or seen or not quiet:
                continue
            heard()
            whole = f"{command}: at work, {time.monotonic() - began:.0f} s"
            (say or log.info)(describe_works() or whole)

    thread = threading.Thread(target=watch, name="speaking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _Silence.blocks.remove(ended)
        ended.set()
        thread.join()


@contextmanager
def waiting() -> Iterator[None]:
    """Hold all lines back while a person is asked something."""
    _Silence.held = True
    try:
        yield
    finally:
        heard()
        _Silence.held = False


def describe_works() -> str:
    """What is under way: all works that have items, and the innermost of the others."""
    works = list(WORKS)
    told = [one for one in works if one.total is not None or one is works[-1]]
    return "; ".join(map(str, told))


def _bars() -> list["tqdm[Never]"]:
    """The bars that stand on the terminal.

    tqdm's own list has bars that another thread is still making.
    """
    bars = [one.bar for one in list(WORKS) if one.bar is not None]
    return [bar for bar in bars if not bar.disable]
