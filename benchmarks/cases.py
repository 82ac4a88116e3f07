"""Many cases: CPU seconds and memory of the case-wise stages, by the number of cases.

    python -m benchmarks.cases [--numbers 1000,2000,4000] [--volumes] [--dvc]

Tiny 2-D images, or volumes, with touching instances are written to a temporary folder.
The stages run as dvc.yaml runs them, three times: at first, again with all cases known,
and with one more case. CPU seconds count all processes of a stage and its start; the
line below each table gives the seconds a further 1,000 cases cost, from one number to
the next: where they grow, a stage is worse than linear. With --dvc, `dvc repro weigh`
follows: at first, with nothing changed (beside `dvc status`, DVC's own cost), and with
one more case.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peer import HOME
from segpipe.images.formats.files import write_label
from segpipe.images.grid import Grid, Triple
from segpipe.project.documents import write_json

IMAGE, VOLUME = (32, 32, 1), (32, 32, 16)
STAGES = ("verify", "split", "plan", "preprocess", "annotate", "weigh")
LABELS = {"background": 0, "cell": 1}


@dataclass(frozen=True)
class Spent:
    """What a command and the processes that it started needed."""

    wall_s: float
    cpu_s: float
    peak_mb: float  # of the largest process


def main() -> None:
    """Print a table for each number of cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--numbers", default="1000,2000,4000")
    parser.add_argument("--volumes", action="store_true", help="cases of 32 x 32 x 16")
    parser.add_argument("--dvc", action="store_true", help="time dvc repro, too")
    given = parser.parse_args()
    before: tuple[int, dict[str, list[Spent]]] | None = None
    for number in map(int, given.numbers.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shape = VOLUME if given.volumes else IMAGE
            prepare(folder, number, shape)
            rounds = measure(folder, number, shape)
            print(f"\n{number} cases: CPU s (wall s, MB)")
            print(f"{'':12}{'first':>22}{'again':>22}{'one more case':>22}")
            for stage, found in rounds.items():
                row = (
                    f"{s.cpu_s:.1f} ({s.wall_s:.1f}, {s.peak_mb:.0f})" for s in found
                )
                print(f"{stage:12}" + "".join(f"{text:>22}" for text in row))
            print(_slopes(before, number, rounds), flush=True)
            before = number, rounds
            if given.dvc:
                print(_dvc(folder, number, shape), flush=True)


def prepare(folder: Path, number: int, shape: Triple) -> None:
    """Write a project with a number of cases of a shape."""
    data = folder / "data"
    for kind in ("imagesTr", "labelsTr", "instancesTr"):
        (data / kind).mkdir(parents=True)
    for case in range(number):
        write_case(data, case, shape)
    describe(data, number, shape)
    preset = "nuclei" if shape[2] == 1 else "hippocampus"
    text = (HOME / "presets" / f"{preset}.yaml").read_text()
    (folder / "params.yaml").write_text(text)


def write_case(data: Path, number: int, shape: Triple) -> None:
    """Write an image, its label and its instances: two touching cells in noise."""
    rng = np.random.default_rng(number)
    i, j = rng.integers(8, 16, 2)
    ids = np.zeros(shape, np.uint8)
    ids[i : i + 6, j : j + 6] = 1
    ids[i + 6 : i + 12, j : j + 6] = 2
    image = (rng.integers(0, 60, shape) + 120 * (ids > 0)).astype(np.uint8)
    name, flat = f"case_{number:06d}", shape[2] == 1
    grid = Grid.from_spacing(shape, (1.0, 1.0, 1.0), "px" if flat else "mm")
    ending = _ending(shape)
    for kind, array in (
        ("imagesTr", image),
        ("labelsTr", (ids > 0).astype(np.uint8)),
        ("instancesTr", ids),
    ):
        channel = "_0000" if kind == "imagesTr" else ""
        write_label(data / kind / f"{name}{channel}{ending}", array, grid)


def _ending(shape: Triple) -> str:
    return ".png" if shape[2] == 1 else ".nii"


def describe(data: Path, number: int, shape: Triple) -> None:
    """Write dataset.json."""
    about = {
        "channel_names": {"0": "gray"},
        "labels": LABELS,
        "numTraining": number,
        "file_ending": _ending(shape),
    }
    write_json(data / "dataset.json", about)


def measure(folder: Path, number: int, shape: Triple) -> dict[str, list[Spent]]:
    """What each stage needs at first, again, and with one more case."""
    rounds: dict[str, list[Spent]] = {stage: [] for stage in STAGES}
    for turn in range(3):
        if turn == 2:
            write_case(folder / "data", number, shape)
            describe(folder / "data", number + 1, shape)
        for stage in STAGES:
            command = [sys.executable, "-m", "segpipe", stage]
            rounds[stage].append(spend(command, folder))
    return rounds


def spend(command: list[str], folder: Path) -> Spent:
    """Run a command in a folder; its output is shown if it fails."""
    home = {"PYTHONPATH": str(HOME)} if not (folder / "segpipe").exists() else {}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": "", **home},
            stdout=output,
            stderr=output,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)}:\n{output.read().decode()[-4000:]}")
    wall = time.perf_counter() - began
    return Spent(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def _slopes(
    before: tuple[int, dict[str, list[Spent]]] | None,
    number: int,
    rounds: dict[str, list[Spent]],
) -> str:
    """CPU seconds a further 1,000 cases cost since the last number, by stage."""
    if before is None:
        return ""
    last, earlier = before
    lines = [f"CPU s a further 1,000 cases, from {last} to {number}"]
    for stage, found in rounds.items():
        each = [
            1000 * (now.cpu_s - then.cpu_s) / (number - last)
            for now, then in zip(found, earlier[stage], strict=True)
        ]
        lines.append(f"{stage:12}" + "".join(f"{value:22.2f}" for value in each))
    return "\n".join(lines)


def _dvc(folder: Path, number: int, shape: Triple) -> str:
    """What dvc repro weigh needs at first, with nothing changed, and one case more."""
    shutil.rmtree(folder / "artifacts")
    shutil.copytree(HOME / "segpipe", folder / "segpipe")
    for name in ("dvc.yaml", "requirements-numerics.lock", ".dvcignore"):
        shutil.copy(HOME / name, folder / name)
    dvc = [sys.executable, "-m", "dvc"]
    for words in (["init", "--no-scm"], ["config", "core.analytics", "false"]):
        spend([*dvc, *words], folder)
    found = {"add": spend([*dvc, "add", "data"], folder)}
    repro = [*dvc, "repro", "weigh"]
    found["first"] = spend(repro, folder)
    found["no-op"] = spend(repro, folder)
    found["status"] = spend([*dvc, "status", "weigh", "data.dvc"], folder)
    write_case(folder / "data", number + 1, shape)
    describe(folder / "data", number + 2, shape)
    found["add again"] = spend([*dvc, "add", "data"], folder)
    found["one more case"] = spend(repro, folder)
    files = sum(len(names) for _, _, names in os.walk(folder / "artifacts"))
    row = (f"{name} {one.cpu_s:.1f} ({one.wall_s:.1f})" for name, one in found.items())
    return f"dvc, CPU s (wall s): {', '.join(row)}; {files} files in artifacts/"


if __name__ == "__main__":
    main()
