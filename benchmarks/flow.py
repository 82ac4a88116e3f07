"""The flow reproduce against plain ``dvc repro``, on a fresh and a finished project.

Both run the whole chain on the synthetic data, with trainings of two steps, in clones
of this repository. The flow talks to a Prefect server on loopback. The time it takes to
record runs in MLflow and results in Prefect counts, too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.timing import last_line, ratios, seconds
from tests.support.servers import prefect_server

ROOT = Path(__file__).parents[1]
DVC = ["dvc", "repro", "--quiet"]
FLOW = ["flows.reproduce"]


def run(folder: Path, words: list[str]) -> None:
    """Run a module in a clone without output."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ["PATH"]])
    subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def clone(folder: Path) -> Path:
    """Create a fresh project with its data and shortened trainings."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    lines = (folder / "params.yaml").read_text().splitlines()
    short = {"epochs": 1, "steps_per_epoch": 2, "validation_interval": 1}
    for number, line in enumerate(lines):
        name = line.strip().split(":")[0]
        if name in short:
            lines[number] = line.split(":")[0] + f": {short[name]}"
    (folder / "params.yaml").write_text("\n".join(lines) + "\n")
    run(folder, ["segpipe", "phantom", "data"])
    return folder


def main() -> None:
    """Print the table; the last line shows the ratio on a fresh workspace."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {
        f"{way}, {state}": []
        for state in ("fresh", "up to date")
        for way in ("dvc", "flow")
    }
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with prefect_server(place / "prefect") as api:
            os.environ["PREFECT_API_URL"] = api
            for number in range(rounds):
                for way, words in (("dvc", DVC), ("flow", FLOW)):
                    folder = clone(place / f"{way}-{number}")
                    for state in ("fresh", "up to date"):
                        took = seconds(partial(run, folder, words))
                        times[f"{way}, {state}"].append(took)
                        print(f"{way}, {state}: {took:.1f} s", flush=True)
    for state in ("fresh", "up to date"):
        ours, peer = times[f"flow, {state}"], times[f"dvc, {state}"]
        more = statistics.median(a - b for a, b in zip(ours, peer, strict=True))
        found = ratios(peer, ours)
        print(
            f"{state}: dvc {statistics.median(peer):.1f} s, flow "
            f"{statistics.median(ours):.1f} s, {more:+.1f} s, "
            f"{statistics.median(found):.2f} times"
        )
    fresh = ratios(times["flow, fresh"], times["dvc, fresh"])
    print(last_line("flow", fresh))


if __name__ == "__main__":
    main()
