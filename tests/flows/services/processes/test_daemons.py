"""Daemons are known again, and end with all that they have started."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.services.processes.daemons import (
    MARK,
    Daemon,
    end,
    family,
    last_lines,
    launch,
    lives,
)
from tests.support.servers import wait_until

# What outlives its shell outlives its Popen object.
pytestmark = pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning"
)
# Writes its child's number; the child sleeps.
PARENT = """\
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                         start_new_session=True)
pathlib.Path("child").write_text(str(child.pid))
print("started", flush=True)
time.sleep(60)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def start(folder: Path, code: str = PARENT) -> Daemon:
    (folder / "parent.py").write_text(code)
    daemon = launch(
        "parent",
        ["parent"],
        root=folder,
        environment={**os.environ, MARK: str(folder)},
        log=folder / "logs" / "parent.log",
    )
    wait_until(lambda: "started" in last_lines(folder / "logs" / "parent.log"), 20)
    return daemon


@pytest.mark.parametrize("code", [PARENT, DEAF + PARENT])
def test_a_daemon_ends_with_its_children_whatever_they_ignore(
    tmp_path: Path, code: str
) -> None:
    daemon = start(tmp_path, code)
    child = psutil.Process(int((tmp_path / "child").read_text()))
    head = daemon.find()
    assert head is not None

    end([head], lambda: family([daemon], tmp_path), patience_s=1)

    assert daemon.find() is None
    assert not lives(child)


def test_a_child_whose_parent_was_killed_is_found_by_its_mark(tmp_path: Path) -> None:
    daemon = start(tmp_path)
    child = psutil.Process(int((tmp_path / "child").read_text()))
    head = daemon.find()
    assert head is not None
    head.kill()
    wait_until(lambda: daemon.find() is None, 20)

    assert family([daemon]) == set()
    assert family([daemon], tmp_path) == {child}
    end([], lambda: family([daemon], tmp_path), patience_s=0)
    assert not lives(child)


def test_another_process_with_the_same_number_is_not_the_daemon() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as p:
        started = psutil.Process(p.pid).create_time()

        assert Daemon(name="x", pid=p.pid, started_s=started).find() is not None
        assert Daemon(name="x", pid=p.pid, started_s=started - 60).find() is None


def test_a_caller_that_carries_the_mark_is_not_of_the_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make stop` from within a flow run ends what runs, not itself."""
    words = f"""from pathlib import Path
from flows.services.processes.daemons import family
print(len(family([], Path({str(tmp_path)!r}))))"""
    monkeypatch.setenv(MARK, str(tmp_path))
    answer = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "0"
