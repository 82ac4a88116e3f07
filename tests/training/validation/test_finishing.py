"""Finishing: the weights of the kept epochs become one segmenter."""

from pathlib import Path

import torch

from segpipe.project.paths import Paths
from segpipe.training.distributed import World
from segpipe.training.task.build import build_task
from segpipe.training.task.coarse import coarse_task
from segpipe.training.task.start import start_or_resume
from segpipe.training.validation.finishing import Coarse, finish
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, TRAIN, changed, one_thread, run_to_annotate


def test_the_kept_weights_of_both_networks_are_taken(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    params = changed(TRAIN, coarse=True, calibrate=True, postprocessing="auto")
    run_to_annotate(paths, {"m": params})
    task = build_task(params, "m", 0, one_thread(), paths, "0" * 20, World())
    assert task.patch.coarse is not None
    coarse = coarse_task(task, task.patch.coarse, lambda: None)
    kept = []
    for one in (task, coarse):
        progress = start_or_resume(one)
        progress.judge(0.5)
        with torch.no_grad():  # later epochs, which were worse
            for weight in progress.network.parameters():
                weight.zero_()
        kept.append(progress)

    first = Coarse(
        coarse.spec, kept[1].best_weights, kept[1].history, coarse.validation
    )
    made, _ = finish(task, kept[0], first)

    assert made.coarse is not None
    for network, progress in zip(
        (made.networks[0], made.coarse.networks[0]), kept, strict=True
    ):
        for name, value in network.state_dict().items():
            assert torch.equal(value, progress.best_weights[name])
    assert any(value.any() for value in made.coarse.networks[0].state_dict().values())
    assert made.spec.temperatures != (1.0,)
    assert made.coarse.spec.temperatures == (1.0,)
    assert len(made.spec.postprocessing) == 2
    assert made.spec.coarse is not None
    alone, doubts = finish(task, kept[0], None)
    assert (alone.spec.coarse, doubts) == (None, ())
