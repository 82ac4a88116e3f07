"""No command is silent for long, on a terminal or without one."""

import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from segpipe.project import progress
from segpipe.project.progress import describe_works, heard, speaking, track, work
from tests.support.places import ROOT

# A command whose params.yaml lies on a disk that answers after two seconds.
LATE = """
import sys, time
from pathlib import Path
from segpipe.project import params, progress
progress.QUIET_S = 0.5
is_file = Path.is_file
def slow(path, **more):
    if path.name == "params.yaml":
        time.sleep(2)
        Path.is_file = is_file
    return is_file(path, **more)
Path.is_file = slow
sys.argv = ["segpipe", *sys.argv[1:]]
from segpipe.__main__ import main
main()
"""


COMMANDS = ("results", "annotate")


def test_a_work_says_how_far_it_is_and_how_long_it_takes() -> None:
    with work("segment", total=5, unit="case") as cases:
        cases._began = time.monotonic() - 20
        cases.advance(2)
        with work("resample"), work("network"):
            told = describe_works()

    assert told == "segment: 2 of 5 cases, 20 s, about 0:00:31 left; network, 0 s"
    assert describe_works() == ""


def test_items_are_passed_on_and_counted() -> None:
    seen = []
    for item in track("abc", "read", total=3, unit="file"):
        seen.append((item, str(progress.WORKS[-1]).split(",")[0]))

    assert seen == [
        ("a", "read: 0 of 3 files"),
        ("b", "read: 1 of 3 files"),
        ("c", "read: 2 of 3 files"),
    ]


def test_a_silence_is_broken_again_and_again_and_only_a_silence() -> None:
    lines: list[float] = []
    with speaking(
        "train", quiet_s=0.2, say=lambda line: lines.append(time.monotonic())
    ):
        for _ in range(8):
            time.sleep(0.1)
            heard()
        spoke = len(lines)
        time.sleep(1.0)

    gaps = [one - before for before, one in pairwise(lines)]
    assert spoke == 0
    assert 2 <= len(lines) <= 5
    assert max(gaps) < 0.5


def test_of_blocks_in_each_other_the_innermost_speaks_and_short_ones_hide_nothing() -> (
    None
):
    """A flow that asks git and DVC ten times in turn is as silent as one that waits."""
    said: list[str] = []
    with speaking("flow", quiet_s=0.3, say=lambda line: said.append("flow")):
        for _ in range(20):
            with speaking("git", quiet_s=0.3, say=lambda line: said.append("git")):
                time.sleep(0.1)
        short = len(said)
        said.clear()
        with speaking("dvc", quiet_s=0.2, say=lambda line: said.append("dvc")):
            time.sleep(1.0)

    assert short >= 1
    assert said.count("dvc") > said.count("flow")
    assert "git" not in said


def test_every_flow_that_works_speaks_in_its_own_log() -> None:
    """Whatever it does in its own process; a bar on the terminal is no line there."""
    for name in ("reproduce", "retrain", "segment", "train"):
        source = (ROOT / "flows" / f"{name}.py").read_text()
        assert re.search(rf'speaking\("{name}", say=', source), name
        assert "def main()" not in source or f'by_hand("{name}")' in source, name


@pytest.mark.parametrize("terminal", [False, True])
def test_commands_that_wait_say_so_on_a_terminal_and_without(
    terminal: bool, tmp_path: Path
) -> None:
    """Two commands at once, whose first file comes late; read as they are printed."""
    readers = {command: Reader(command, tmp_path, terminal) for command in COMMANDS}

    for command, reader in readers.items():
        stamps, said = reader.read()
        gaps = [one - before for before, one in pairwise(stamps)]
        assert len(stamps) >= 3, said
        assert max(gaps) < 1.5, said
        assert f"{command}: at work, " in said
        assert "error: params.yaml: expected the parameters" in said


class Reader:
    """A command that runs, and what it prints with the time of each line."""

    def __init__(self, command: str, folder: Path, terminal: bool) -> None:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self.lines = os.fdopen(ours, "rb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", LATE, command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stderr=theirs,
        )
        os.close(theirs)

    def read(self) -> tuple[list[float], str]:
        """When its lines came, and the lines."""
        stamps, said = [], ""
        with self.process, self.lines, suppress(OSError):  # the end of a terminal
            for line in self.lines:
                stamps.append(time.monotonic())
                said += line.decode()
        return stamps, said


def test_there_is_one_mechanism() -> None:
    """A loop that shows a bar of its own would be silent without a terminal."""
    others = [
        str(path.relative_to(ROOT))
        for top in ("segpipe", "flows", "experiments")
        for path in sorted((ROOT / top).rglob("*.py"))
        if "tqdm" in path.read_text() and path != Path(progress.__file__)
    ]

    assert not others


def test_nothing_is_said_while_a_person_is_asked() -> None:
    said: list[str] = []
    with progress.speaking("import", quiet_s=0.05, say=said.append):
        with progress.waiting():
            time.sleep(0.3)
        before = len(said)
        time.sleep(0.3)

    assert (before, bool(said)) == (0, True)


def test_a_bar_that_another_thread_is_still_making_silences_nothing() -> None:
    """tqdm lists a bar before it has its attributes."""
    half = progress.tqdm.__new__(progress.tqdm)
    said: list[str] = []
    with progress.speaking("import", quiet_s=0.05, say=said.append):
        time.sleep(0.3)

    assert not hasattr(half, "disable")
    assert said
