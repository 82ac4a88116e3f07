"""Timing: two implementations timed in turn, compared by their ratio in each round."""

import statistics
import time
from collections.abc import Callable, Sequence


def seconds(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each round, ours and the peer's in turn, after a call to warm up."""
    ours()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def ratios(ours: Sequence[float], peer: Sequence[float]) -> list[float]:
    """How many times longer the peer took, round by round."""
    return [b / a for a, b in zip(ours, peer, strict=True)]


def last_line(name: str, found: Sequence[float]) -> str:
    """The line that scripts read."""
    middle = statistics.median(found)
    return f"{name}: ratio {middle:.1f} (min {min(found):.1f}, max {max(found):.1f})"
