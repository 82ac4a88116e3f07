"""Small prepared cases: files of their own against shards of 50 cases.

    python -m benchmarks.shards

500 cases of 64 x 64 pixels with the four arrays that preprocess and weigh write, in a
temporary folder. CPU seconds of writing, of `dvc add`, of `dvc status` and of `dvc add`
after all was written anew, as each stage does; then patches of 32 x 32 from open memory
maps, in turn.
"""

import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.cases import spend
from benchmarks.timing import last_line, ratios

CASES, SHARD, SIDE, CUT = 500, 50, 64, 32
PATCHES, ROUNDS = 2000, 7
NOISE = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 1))
ARRAYS = {
    "image": NOISE.astype(np.float32),
    "label": np.ones((SIDE, SIDE, 1), np.int16),
    "instances": np.ones((SIDE, SIDE, 1), np.int32),
    "border-2d": np.ones((SIDE, SIDE, 1), np.float32),
}
Case = list[np.ndarray]


def write_files(folder: Path) -> None:
    """Write a folder for each case, as the stages do."""
    for number in range(CASES):
        case = folder / f"{number:05d}"
        case.mkdir(parents=True)
        for name, array in ARRAYS.items():
            np.save(case / f"{name}.npy", array)
        (case / "grid.json").write_text('{"format_version": 1}\n')


def write_shards(folder: Path) -> None:
    """Write the arrays of many cases into one file, and where each begins."""
    folder.mkdir(parents=True)
    for first in range(0, CASES, SHARD):
        places: dict[str, list[int]] = {}
        with (folder / f"{first:05d}.bin").open("wb") as file:
            for number in range(first, first + SHARD):
                places[str(number)] = []
                for array in ARRAYS.values():
                    file.write(bytes(-file.tell() % 64))
                    places[str(number)].append(file.tell())
                    file.write(array.tobytes())
        (folder / f"{first:05d}.json").write_text(json.dumps(places))


def open_files(folder: Path) -> list[Case]:
    """Map the arrays of all cases from their own files."""
    cases = (folder / f"{number:05d}" for number in range(CASES))
    return [
        [np.load(case / f"{name}.npy", mmap_mode="r") for name in ARRAYS]
        for case in cases
    ]


def open_shards(folder: Path) -> list[Case]:
    """Map the shards, and view the arrays in them."""
    found = []
    for path in sorted(folder.glob("*.bin")):
        data = np.memmap(path, mode="r", dtype=np.uint8)
        for places in json.loads(path.with_suffix(".json").read_text()).values():
            pairs = zip(places, ARRAYS.values(), strict=True)
            found.append(
                [
                    data[p : p + a.nbytes].view(a.dtype).reshape(a.shape)
                    for p, a in pairs
                ]
            )
    return found


def report_folder(root: Path, name: str) -> None:
    """Print what a folder costs, on disk and in DVC."""
    home, write = root / name, {"files": write_files, "shards": write_shards}[name]
    home.mkdir()
    began = time.process_time()
    write(home / "out")
    spent = time.process_time() - began
    dvc = [sys.executable, "-m", "dvc"]
    spend([*dvc, "init", "--no-scm"], home)
    add = spend([*dvc, "add", "out"], home).cpu_s
    status = spend([*dvc, "status"], home).cpu_s
    shutil.rmtree(home / "out")
    write(home / "out")
    again = spend([*dvc, "add", "out"], home).cpu_s
    walked = [
        (Path(at), [*below, *files]) for at, below, files in os.walk(home / "out")
    ]
    paths = [at / entry for at, entries in walked for entry in entries]
    disk = sum(path.stat().st_blocks for path in paths) * 512 / 1e6
    print(
        f"{name}: {len(paths)} inodes, {disk:.1f} MB; CPU s: write {spent:.2f}, "
        f"dvc add {add:.2f}, status {status:.2f}, add again {again:.2f}",
        flush=True,
    )


def cut_patches(cases: list[Case], seed: int) -> float:
    """CPU seconds for random patches of random cases."""
    rng, began = random.Random(seed), time.process_time()
    for _ in range(PATCHES):
        i, j = rng.randrange(SIDE - CUT), rng.randrange(SIDE - CUT)
        for array in cases[rng.randrange(CASES)]:
            np.ascontiguousarray(array[..., i : i + CUT, j : j + CUT, :])
    return time.process_time() - began


def main() -> None:
    """Print the table and the line that scripts read."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for kind in ("files", "shards"):
            report_folder(root, kind)
        files, shards = open_files(root / "files/out"), open_shards(root / "shards/out")
        pairs = [(cut_patches(files, n), cut_patches(shards, n)) for n in range(ROUNDS)]
    own, packed = zip(*pairs, strict=True)
    for kind, found in (("files", own), ("shards", packed)):
        print(f"{kind}: {PATCHES / statistics.median(found):.0f} patches a CPU second")
    print(last_line("shards", ratios(packed, own)))


if __name__ == "__main__":
    main()
