"""Inference of ours and MONAI's from file to file, each in its own process."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from benchmarks.peers.answering import Answer, answer_all, peak_mb
from benchmarks.segmenting import build_segmenter
from segpipe.images.formats import nifti
from segpipe.segmenter.compute import Compute, Stopwatch
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.preprocessing.images import prepare_image
from segpipe.segmenter.segmenter import Segmenter


def build(kind: str, given: dict[str, Any]) -> Answer:
    """Segment a file for each request; with a cap, report whether memory sufficed."""
    threads = given["threads"]
    torch.set_num_threads(threads)
    made = build_segmenter(
        given["network"],
        base_channels=given["base_channels"],
        classes=given["classes"],
        patch=tuple(given["patch"]),
    )
    inference = Inference(
        given["overlap_fraction"],
        "gaussian",
        given["memory_gb"],
        False,
        Compute(torch.device("cpu"), "fp32", threads),
    )
    if given["cap_gb"]:  # of private memory that may be written
        cap = int(given["cap_gb"] * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
    work = {"ours": segment_ours, "monai": segment_monai}[kind]

    def answer(image: str, goal: str) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            work(made, inference, Path(image), Path(goal))
        except (RuntimeError, MemoryError) as error:
            if "allocate" not in str(error) and not isinstance(error, MemoryError):
                raise
            return {"finished": False, "why": str(error).splitlines()[0]}
        seconds = time.perf_counter() - began
        return {"finished": True, "seconds": seconds, "peak_mb": peak_mb()}

    return answer


def segment_ours(
    made: Segmenter,
    how: Inference,
    image: Path,
    goal: Path,
    *,
    stopwatch: Stopwatch | None = None,
) -> None:
    """Segment a file with ours, slice by slice."""
    source = nifti.open_image(image)
    slabs = made.slabs(source, how, stopwatch=stopwatch)
    parts = (slab.labels for slab in slabs)
    nifti.write_slices(goal, source.grid, np.dtype(np.uint8), parts)


def segment_monai(made: Segmenter, how: Inference, image: Path, goal: Path) -> None:
    """Segment with MONAI's sliding window between our preparation and our writing.

    Logits are blended and resampled to the image's shape, then the largest wins. Tiles
    have the size of patches. On a GPU all of it lies there.
    """
    read = nifti.read_image(image)
    array, _ = prepare_image(read, made.spec.plan)
    network = made.networks[0].to(how.compute.device)
    with torch.inference_mode(), how.compute.autocast():
        logits = sliding_window_inference(
            torch.from_numpy(array)[None].to(how.compute.device),
            roi_size=made.spec.patch_size,
            sw_batch_size=1,
            predictor=lambda tiles: network(tiles).float(),
            overlap=how.overlap_fraction,
            mode=how.blending,
            sigma_scale=0.125,
        )
        assert isinstance(logits, torch.Tensor)
        if logits.shape[2:] != read.grid.shape:
            logits = torch.nn.functional.interpolate(
                logits, size=read.grid.shape, mode="trilinear"
            )
        classes = logits.softmax(1).argmax(1)[0].to(torch.uint8).cpu().numpy()
    nifti.write_label(goal, classes, read.grid)


if __name__ == "__main__":
    answer_all(build)
