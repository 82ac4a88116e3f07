"""What runs on the processor runs on a GPU as well: ``make test-gpu``.

Without a GPU the tests with the marker gpu are skipped by name, and those that take a
device run on the processor alone.
"""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.services.workers import build_workers, list_gpus
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.networks.catalogue import NETWORKS
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import (
    Compute,
    ComputeParams,
    build_compute,
    memory_demanded,
)
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.tiles.sliding_window import slabs
from segpipe.segmenter.tiles.tiling import Tiling
from segpipe.stages import train
from tests.support.narrow import NARROW, brings_loss
from tests.support.phantoms import write_dataset
from tests.support.places import ROOT
from tests.support.projects import PATIENTS, TRAIN, changed, run_to_annotate
from tests.support.segmenters import NONE, make_plan, make_segmenter

GPUS = torch.cuda.device_count()
gpu = pytest.mark.gpu
on_gpu = pytest.mark.skipif(not GPUS, reason="needs a GPU")
on_two = pytest.mark.skipif(GPUS < 2, reason="needs two GPUs")
DEVICES = ["cpu", pytest.param("cuda", marks=[gpu, on_gpu])]
PARAMS = changed(
    TRAIN, network="vnet", patch_size=(16, 16, 16), epochs=2, steps_per_epoch=2
)
TRAIN_HERE = """
import sys
from pathlib import Path
from segpipe.project.paths import Paths
from segpipe.stages import train
from tests.test_gpu import PARAMS, compute_on
paths = Paths(Path(sys.argv[1]))
train.run(PARAMS, model="m", fold=0, compute=compute_on("cuda"), paths=paths)
"""


def compute_on(device: str) -> Compute:
    return build_compute(
        ComputeParams.model_validate(
            {
                "device": device,
                "precision": "fp32",
                "threads": 1,
                "workers": 1,
                "compile": False,
            }
        )
    )


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_annotate(paths, {"m": PARAMS})
    return paths


def interrupted(paths: Paths, compute: Compute) -> None:
    """Train until the second epoch begins, as a user who stops it does."""

    class StopError(Exception):
        pass

    steps = train.train_step
    count = 0

    def stop(*given: object) -> float:
        nonlocal count
        count += 1
        if count > PARAMS.steps_per_epoch:
            raise StopError
        return float(steps(*given))  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_step", stop)
        with pytest.raises(StopError):
            train.run(PARAMS, model="m", fold=0, compute=compute, paths=paths)


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_that_was_stopped_resumes_on_its_device(
    device: str, paths: Paths
) -> None:
    compute = compute_on(device)
    interrupted(paths, compute)
    train.run(PARAMS, model="m", fold=0, compute=compute, paths=paths)

    folder = paths.artifacts / "train" / "m" / "0"
    rows = (folder / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + PARAMS.epochs
    assert Segmenter.load(folder / "segmenter").spec.model == "m"
    assert f'"device": "{device}"' in (folder / "fingerprint.json").read_text()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sums_on", ["cpu", "device"])
def test_a_sliding_window_blends_on_either_device(device: str, sums_on: str) -> None:
    image = np.random.default_rng(0).normal(size=(2, 19, 17, 12)).astype(np.float32)
    tiling = Tiling((8, 8, 8), (0, 0, 0), 0.5, "gaussian", batch_size=3)
    place = torch.device(device if sums_on == "device" else "cpu")

    found = list(
        slabs(
            iter([image]),
            (19, 17, 12),
            lambda tiles: tiles,
            tiling=tiling,
            device=torch.device(device),
            sums_on=place,
        )
    )

    assert {one.values.device.type for one in found} == {place.type}
    whole = torch.cat([one.values.cpu() for one in found]).transpose(0, 1)
    np.testing.assert_allclose(whole.numpy(), image, atol=1e-5)


@gpu
@on_gpu
def test_a_gpu_finds_the_labels_of_the_processor() -> None:
    made = make_segmenter(make_plan(normalization=(NONE,)), network="unet3d")
    array = np.random.default_rng(0).random((1, 40, 24, 24)).astype(np.float32)
    image = Image(array, Grid.from_spacing((40, 24, 24), (1.0, 1.0, 1.0), "mm"))
    labels = [
        made.segment(
            image, Inference(0.5, "gaussian", 1.0, False, compute_on(device))
        ).array
        for device in ("cpu", "cuda")
    ]

    assert np.mean(labels[0] != labels[1]) < 0.001


def step_of(name: str, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a network of noise, and the gradient of its weights."""
    torch.manual_seed(0)
    kind: Any = NETWORKS[name]
    options = {"base_channels": 4, **NARROW.get(name, {})}
    network = kind(1, 2, padding=kind.paddings[0], **options)
    size = network.input_size(1 if network.margin else 2 ** (12 - 2 * kind.dimensions))
    sizes = getattr(network, "image_size", None) or [size] * network.dimensions
    image = torch.randn(2, 1, *sizes)
    network.to(compute_on(device).device).eval()
    logits = network(image.to(device))
    (logits - 1).square().mean().backward()  # some begin at zero
    gradients = [
        one.grad.flatten()
        for one in network.parameters()
        if one.grad is not None  # decoders of deep supervision have none
    ]
    return logits.detach().cpu(), torch.cat(gradients).cpu()


@gpu
@on_gpu
@pytest.mark.parametrize("name", [one for one in NETWORKS if not brings_loss(one)])
def test_a_gpu_computes_each_network_as_the_processor_does(name: str) -> None:
    """Logits and gradients: no narrower format takes the place of float32."""
    found = {device: step_of(name, device) for device in ("cpu", "cuda")}

    for here, there in zip(found["cpu"], found["cuda"], strict=True):
        assert (here - there).norm() <= 1e-4 * here.norm()


@gpu
@on_gpu
def test_too_small_a_gpu_is_said_with_the_mend() -> None:
    _, total = torch.cuda.mem_get_info()
    with (
        pytest.raises(DataError, match=r"the GPU's memory is too small: lower it"),
        memory_demanded("lower it"),
    ):
        torch.empty(2 * total, dtype=torch.uint8, device="cuda")


@gpu
@on_gpu
def test_the_operations_that_are_not_deterministic_are_told(paths: Paths) -> None:
    """They are warned of and allowed; ``make test-gpu`` shows the list."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train.run(PARAMS, model="m", fold=0, compute=compute_on("cuda"), paths=paths)
    names = {
        str(one.message).split(" does not have a deterministic")[0]
        for one in told
        if "does not have a deterministic" in str(one.message)
    }
    logging.getLogger(__name__).info("not deterministic: %s", sorted(names))
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark


@gpu
@on_gpu
def test_a_worker_sees_its_own_gpu_alone(tmp_path: Path) -> None:
    _, *workers = build_workers(tmp_path)

    assert len(workers) == len(list_gpus()) >= 1
    code = "import torch; print(torch.cuda.device_count())"
    for worker in workers:
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **worker.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == "1"


@gpu
@on_two
def test_two_gpus_train_one_network(paths: Paths) -> None:
    script = paths.root / "here.py"
    script.write_text(TRAIN_HERE)
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [sys.executable, "-m", *words, str(script), str(paths.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=600,
    )

    record = paths.artifacts / "train" / "m" / "0" / "fingerprint.json"
    assert '"processes": 2' in record.read_text()
