from collections.abc import Iterator

from segpipe.stopwatch import Stopwatch


class Clock:
    """A clock that goes only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_outer_phase_stands_still_while_the_inner_one_runs() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def inner() -> Iterator[int]:
        clock.now += 5
        yield 1

    def outer() -> Iterator[int]:
        clock.now += 2
        yield from watch.of("inner", inner())
        clock.now += 1

    items = list(watch.of("outer", outer()))

    assert items == [1]
    assert watch.seconds == {"inner": 5, "outer": 3}


def test_time_outside_all_phases_belongs_to_none() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    with watch.phase("a"):
        clock.now += 1
    clock.now += 10
    with watch.phase("b"):
        clock.now += 2

    assert watch.seconds == {"a": 1, "b": 2}


def test_a_phase_that_fails_ends() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    try:
        with watch.phase("a"):
            clock.now += 1
            raise KeyError
    except KeyError:
        clock.now += 4

    assert watch.seconds == {"a": 1}
