"""No process of a guarded command outlives the flow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A command with a child of its own, as dvc has; both say who they are.
FAMILY = """\
import os, subprocess, sys, time, pathlib
child = "import time; time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {process.pid}")
time.sleep(60)
"""
GUARD = [sys.executable, "-m", "flows.running.guard"]


def alive(number: int) -> bool:
    """Whether a process runs; one that ended and was not fetched does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def members(file: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.is_file() and len(file.read_text().split()) == 2:
            return [int(word) for word in file.read_text().split()]
        time.sleep(0.05)
    raise TimeoutError(file)


def gone(numbers: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(map(alive, numbers)):
        time.sleep(0.05)
    return not any(map(alive, numbers))


def test_the_exit_status_is_the_commands() -> None:
    fails = [sys.executable, "-c", "import sys; sys.exit(7)"]

    assert subprocess.run([*GUARD, *fails], check=False).returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_whole_family(tmp_path: Path, number: int) -> None:
    file = tmp_path / "family"
    command = [*GUARD, sys.executable, "-c", FAMILY, str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        family = members(file)
        process.send_signal(number)

    assert process.returncode != 0
    assert gone(family)


def test_a_command_that_ignores_polite_signals_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "family"
    deaf = "import signal; signal.signal(2, signal.SIG_IGN); "
    deaf += "signal.signal(15, signal.SIG_IGN)\n"
    code = (
        "from flows.running import guard; import signal, sys\n"
        "guard.STEPS = ((signal.SIGINT, .2), (signal.SIGTERM, .2), (signal.SIGKILL, 5))"
        "\nsys.exit(guard.main())"
    )
    command = [sys.executable, "-c", code, sys.executable, "-c", deaf + FAMILY]
    with subprocess.Popen([*command, str(file)]) as process:
        family = members(file)
        process.terminate()

    assert gone(family)


def test_a_flow_that_is_killed_takes_its_commands_with_it(tmp_path: Path) -> None:
    """SIGKILL cannot be caught: the guard sees that its parent is another one."""
    file = tmp_path / "family"
    parent = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'flows.running.guard', *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", parent, sys.executable, "-c", FAMILY, str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        family = members(file)
        os.kill(process.pid, signal.SIGKILL)

    assert gone(family)


def test_a_flow_that_is_killed_before_its_guard_looks_takes_its_command_too(
    tmp_path: Path,
) -> None:
    """On a busy machine a guard takes seconds to start, and has another parent then."""
    file = tmp_path / "family"
    with subprocess.Popen([sys.executable, "-c", ""]) as parent:
        pass
    command = [*GUARD, sys.executable, "-c", FAMILY, str(file)]
    killed = {**os.environ, "SEGPIPE_GUARD_PARENT": str(parent.pid)}
    with subprocess.Popen(command, env=killed, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.wait(20) != 0
        finally:
            process.terminate()

    assert not file.is_file() or gone(members(file))
