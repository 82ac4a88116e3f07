"""A training that a command starts is a run in MLflow, with its epochs."""

import os
import subprocess
import sys

import pytest
import torch

from segpipe.cli.observing.observer import observe
from segpipe.project.paths import Paths
from segpipe.registry.runs import find_run
from segpipe.registry.store import connect
from segpipe.segmenter.compute import Compute
from tests.support.places import ROOT
from tests.support.stores import ROWS, made_from


def test_an_observed_training_is_a_finished_run_with_its_epochs_and_device(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paths.root)

    with observe(made_from(), Compute(torch.device("cpu"), "fp32", 1)) as observer:
        observer.log(ROWS)
        observer.alive()

    client, experiment = connect(paths)
    run = find_run(client, experiment, "k0")
    assert run is not None
    assert run.info.status == "FINISHED"
    assert run.data.metrics["training_loss"] == 0.5
    assert run.data.tags["device"] == "cpu, fp32, 1 threads"


TRAINING = """
import os, signal, time
import torch
from segpipe.cli.observing.observer import observe
from segpipe.segmenter.compute import Compute
from tests.support.stores import made_from
with observe(made_from(), Compute(torch.device("cpu"), "fp32", 1)):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


def test_sigterm_ends_the_run_as_killed(paths: Paths) -> None:
    """Scancel, docker stop and systemctl stop send it; the run stayed RUNNING."""
    words = [sys.executable, "-c", TRAINING]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    where = paths.root
    done = subprocess.run(words, cwd=where, env=environment, check=False, timeout=120)

    client, experiment = connect(paths)
    run = find_run(client, experiment, "k0")
    assert done.returncode == 128 + 15
    assert run is not None
    assert run.info.status == "KILLED"
    assert run.info.end_time is not None
