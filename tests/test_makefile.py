"""What the Makefile starts ends with it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from flows.services.processes.daemons import lives
from tests.support.places import ROOT
from tests.support.servers import wait_until


def test_the_wheel_needs_none_of_the_packages(tmp_path: Path) -> None:
    """A lab that has a clone builds it with Python alone."""
    words = ["make", "--dry-run", f"VENV={tmp_path}", "PYTHON=python", "wheel"]
    alone = {k: v for k, v in os.environ.items() if "MAKE" not in k}  # of make test
    said = subprocess.run(
        words, cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    )

    build = "python -m pip wheel --quiet --no-deps --wheel-dir dist ."
    assert said.stdout.splitlines() == ["rm -rf build", build, "rm -rf build"]


@pytest.mark.parametrize("late", ["", "sleep 0.3; "])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_a_silent_step_ends_its_command_too(
    tmp_path: Path, number: int, late: str
) -> None:
    """A shell starts what it does not wait for with SIGINT ignored.

    A terminal interrupts the whole group, `kill` and make the shell alone. What starts
    the tests in the background ignores SIGINT, which its children would inherit. On a
    machine under load the signal comes before the shell does what follows the start.
    """
    (speaking,) = re.findall(r"(?m)^SPEAKING := (.*)$", (ROOT / "Makefile").read_text())
    start = '"$$@" & '
    assert start in speaking
    speaking = speaking.replace(start, start + late)
    command = f"{speaking.replace('$$', '$')} sh -c 'echo $$ > pid; exec sleep 300'"
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        file = tmp_path / "pid"
        text = wait_until(lambda: file.is_file() and file.read_text().strip(), 20)
        sleeper = psutil.Process(int(text))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            os.kill(process.pid, number)

    assert process.returncode != 0
    wait_until(lambda: not lives(sleeper), 20)
