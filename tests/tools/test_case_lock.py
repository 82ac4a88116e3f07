import os
import signal
import subprocess
import sys
from pathlib import Path

from segpipe.tools.case_lock import case_lock, remove_parts

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from segpipe.tools.case_lock import case_lock
with case_lock(Path(sys.argv[1]), "b/a") as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


def test_one_of_two_holds_a_case_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        case_lock(tmp_path, "a") as first,
        case_lock(tmp_path, "a") as second,
        case_lock(tmp_path, "b") as other,
    ):
        held = (first, second, other)
    with case_lock(tmp_path, "a") as again:
        pass

    assert held == (True, False, True)
    assert again
    assert not list(tmp_path.iterdir())


def test_a_killed_process_gives_its_case_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with case_lock(tmp_path, "b/a") as during:
            pass
        os.kill(process.pid, signal.SIGKILL)
    with case_lock(tmp_path, "b/a") as after:
        pass

    assert (during, after) == (False, True)


def test_half_written_outputs_of_this_case_alone_are_removed(tmp_path: Path) -> None:
    ours = {
        ".a.nii.gz.part",
        ".a.json.part",
        ".a_probability_left-kidney.nii.gz.part",
        ".a_overlay.png.part",
    }
    others = {".ab.nii.gz.part", ".a_b.nii.gz.part", ".a.b", "a.nii.gz"}
    for name in ours | others:
        (tmp_path / name).touch()

    remove_parts(tmp_path, "a")

    assert {path.name for path in tmp_path.iterdir()} == others
