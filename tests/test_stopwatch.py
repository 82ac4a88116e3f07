import time
from collections.abc import Iterator

import pytest

from segpipe.stopwatch import Stopwatch


def test_the_outer_phase_stands_still_while_the_inner_one_runs() -> None:
    watch = Stopwatch()

    def inner() -> Iterator[int]:
        time.sleep(0.05)
        yield 1

    def outer() -> Iterator[int]:
        time.sleep(0.02)
        yield from watch.of("inner", inner())

    began = time.perf_counter()
    items = list(watch.of("outer", outer()))
    whole = time.perf_counter() - began

    assert items == [1]
    assert watch.seconds["inner"] >= 0.05
    assert watch.seconds["outer"] >= 0.02
    assert sum(watch.seconds.values()) == pytest.approx(whole, abs=0.01)


def test_time_outside_all_phases_belongs_to_none() -> None:
    watch = Stopwatch()

    with watch.phase("a"):
        pass
    time.sleep(0.05)
    with watch.phase("b"):
        pass

    assert sum(watch.seconds.values()) < 0.05
