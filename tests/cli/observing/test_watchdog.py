"""The watchdog barks once, and only when nothing happens."""

import subprocess
import sys
import time

from segpipe.cli.observing.watchdog import STALLED, patience_minutes, watch

HANG = """
import logging, time
from segpipe.cli.observing.watchdog import watch
logging.basicConfig()
with watch(0.02, "unet3d-0") as alive:
    alive()
    time.sleep(60)
"""


def test_a_process_that_hangs_ends_and_says_where() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANG],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == STALLED
    assert "unet3d-0: expected a step at least every 0.02 minutes" in done.stderr
    assert "continue from the last checkpoint" in done.stderr
    assert 'File "<string>", line 7' in done.stderr


def test_signs_of_life_keep_it_quiet() -> None:
    with watch(0.02, "busy") as alive:
        for _ in range(12):
            time.sleep(0.2)
            alive()


def test_the_patience_is_set_by_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("SEGPIPE_STALL_MINUTES", "2.5")

    assert patience_minutes() == 2.5
    monkeypatch.delenv("SEGPIPE_STALL_MINUTES")
    assert patience_minutes() == 60
