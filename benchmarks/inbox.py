"""An inbox of 200 studies, five of them bad, through the flow, which is killed halfway.

    python -m benchmarks.inbox artifacts/train/vnet data/imagesTr

The studies are the images of a folder with different noise. First `segpipe segment` and
the flow segment them in one process each: the ratio is the cost of the flow. Then the
flow uses several processes: its first run is killed (SIGKILL) halfway, the second
completes the work, and the third finds nothing to do. The table shows the time of each,
whether any case was segmented twice, and the memory of the flow and its processes.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from segpipe.images.formats import files as formats
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.tools.segmenting.manifest import Failure, Manifest

BAD = ("cut", "empty", "flat", "nan", "two_channels")


def write_inbox(folder: Path, images: Path, count: int) -> None:
    """Write studies that differ; the last five are bad."""
    sources = sorted(path for path in images.iterdir() if path.is_file())
    for number in range(count - len(BAD)):
        image = formats.read_image(sources[number % len(sources)])
        noise = np.random.default_rng(number).normal(size=image.array.shape)
        scale = 0.02 * float(image.array.std())
        array = (image.array + scale * noise).astype(np.float32)
        nifti.write_image(folder / f"case_{number:03d}.nii.gz", array[0], image.grid)
    good = folder / "case_000.nii.gz"
    (folder / "bad_cut.nii.gz").write_bytes(good.read_bytes()[:-900])
    (folder / "bad_empty.nii.gz").write_bytes(b"")
    image = formats.read_image(good)
    array = image.array[0].copy()
    two = nib.Nifti1Image(np.stack([array, array], axis=-1), image.grid.affine)
    nib.save(two, folder / "bad_two_channels.nii.gz")
    array[3, 3, 3] = np.nan
    nifti.write_image(folder / "bad_nan.nii.gz", array, image.grid)
    shape = (*image.grid.shape[:2], 1)
    flat = Grid(shape, image.grid.affine, image.grid.unit)
    nifti.write_image(folder / "bad_flat.nii.gz", array[..., 4:5], flat)


def run_plain(model: str, inbox: Path, output: Path) -> float:
    """Segment with the command; returns seconds."""
    words = ["segpipe", "segment", model, str(inbox), "--output", str(output)]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words, "--threads", "1"], check=False)
    return time.perf_counter() - start


def run_flow(
    model: str, inbox: Path, output: Path, *, workers: int, stop_at: int | None = None
) -> tuple[float, float]:
    """Run the flow; returns seconds and the peak memory of all processes in GB."""
    words = [sys.executable, "-m", "flows.segment", str(inbox), "--output", str(output)]
    words += ["--model", model, "--settle-s", "0", "--workers", str(workers)]
    start = time.perf_counter()
    with subprocess.Popen(words) as process:
        watch = Memory(process.pid)
        watch.start()
        while process.poll() is None:
            if stop_at is not None and len(manifests(output)) >= stop_at:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.2)
    return time.perf_counter() - start, watch.most / 1e9


class Memory(threading.Thread):
    """Measures the memory of a process and its children (proportional set size)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._process = psutil.Process(pid)

    def run(self) -> None:
        """Measure until the process ends."""
        while self._process.is_running():
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.most = max(
                    self.most, sum(one.memory_full_info().pss for one in family)
                )
            except psutil.Error:
                pass
            time.sleep(1)


def manifests(output: Path) -> dict[str, tuple[float, str]]:
    """Each finished case to the time and the key of its manifest."""
    found = {}
    for path in output.glob("*.json"):
        if not path.name.startswith(".") and not path.name.endswith(".failed.json"):
            found[path.stem] = (path.stat().st_mtime, Manifest.read(path).key)
    return found


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description="An inbox of studies, killed halfway")
    parser.add_argument("model")
    parser.add_argument("images", type=Path)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inbox, plain, flow = (Path(folder) / name for name in ("in", "plain", "flow"))
        inbox.mkdir()
        write_inbox(inbox, given.images, given.studies)
        plain_s = run_plain(given.model, inbox, plain)
        one_s, one_gb = run_flow(given.model, inbox, Path(folder) / "one", workers=1)
        half = given.studies // 2
        first_s, most = run_flow(
            given.model, inbox, flow, workers=given.workers, stop_at=half
        )
        before = manifests(flow)
        second_s, again = run_flow(given.model, inbox, flow, workers=given.workers)
        after = manifests(flow)
        third_s, _ = run_flow(given.model, inbox, flow, workers=given.workers)
        twice = [case for case in before if before[case] != after[case]]
        failures = sorted(flow.glob("*.failed.json"))
        print(f"segpipe segment: {plain_s:.1f} s, {len(manifests(plain))} results")
        print(f"flow, 1 process: {one_s:.1f} s, {one_gb:.2f} GB, ", end="")
        print(f"over plain: {one_s / plain_s:.2f}")
        print(f"flow, killed:    {first_s:.1f} s, {len(before)} results")
        print(f"flow, restarted: {second_s:.1f} s, {len(after)} results in all")
        print(f"flow, once more: {third_s:.1f} s")
        changed = sum(after[case] != made for case, made in manifests(flow).items())
        print(f"segmented twice: {len(twice)}, by the third run: {changed}")
        print(f"half-written files: {len(list(flow.glob('.*')))}")
        print(f"memory at most: {max(most, again):.2f} GB")
        for path in failures:
            print(f"failed: {Failure.read(path).case}: {Failure.read(path).reason}")


if __name__ == "__main__":
    main()
