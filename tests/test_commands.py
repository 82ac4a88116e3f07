"""The python of tests.support.commands does what the real one does."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import wait_until

MODULES = {
    "ends": "",
    "gives a status": "import sys; sys.exit(3)",
    "gives the highest status": "import sys; sys.exit(255)",
    "says why": "import sys; sys.exit('why')",
    "raises": "raise ValueError('wrong')",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "is asked to end": "import os; os.kill(os.getpid(), 15)",
    "looks around": (
        "import os, sys; print(sys.argv[1:], __name__, os.getcwd(), sys.stdin.read(),"
        " os.environ['WORD'], sys.path[0], sys.path[1])"
    ),
    "registers an end": "import atexit; atexit.register(lambda: print('the end'))",
    "writes to both": "import sys; print('out'); print('err', file=sys.stderr)",
    "starts a process": "import os; print(os.system('exit 3'))",
}
# What was started in the background would ignore SIGINT.
WAITS = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def write_module(folder: Path, code: str) -> None:
    (folder / "segpipe").mkdir()
    (folder / "segpipe" / "__init__.py").touch()
    (folder / "segpipe" / "module.py").write_text(code)


@pytest.mark.parametrize("what", MODULES)
def test_a_module_does_the_same(
    what: str, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path, MODULES[what])
    monkeypatch.setenv("WORD", what)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")

    found, expected = (
        subprocess.run(
            [python, "-m", "segpipe.module", "a", "--b=c"],
            cwd=tmp_path,
            input="in",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        for python in (warm / "python", sys.executable)
    )

    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout)
    assert found.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_as_it_ends_a_process(
    told: signal.Signals, warm: Path, tmp_path: Path
) -> None:
    write_module(tmp_path, WAITS)
    ends = []
    for python in (warm / "python", sys.executable):
        with subprocess.Popen(
            [python, "-m", "segpipe.module"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            number = int(process.stdout.readline())
            process.send_signal(told)
            ends.append(process.wait(30))
            wait_until(lambda n=number: not Path(f"/proc/{n}").exists(), 30)

    assert ends[0] == ends[1]
