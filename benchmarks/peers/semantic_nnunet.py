"""nnU-Net v2 from scratch, in its own environment: its default recipe within a budget.

Its own planner, preprocessing, network, loss, augmentation, sampling and optimizer. Its
poly schedule ends with the budget: it runs over the seconds spent, not over a thousand
epochs. Its validation after each epoch serves its log only and is left out.

Source:
    Isensee 2021, doi:10.1038/s41592-020-01008-z; the package nnunetv2.
"""

import os
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import torch
from nnunetv2.experiment_planning import plan_and_preprocess_api as api
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.peers.exchange import CpuClock, read_exchange

CPU = torch.device("cpu")
LARGEST_GB = 9  # of memory: a plan that needs more ends here, not the machine
PROCESSES = "nnUNet_n_proc_DA"  # of nnU-Net's augmentation


def prepare(number: int, sides: dict[str, str], base: Path) -> str:
    """Plan and preprocess with one process; returns the configuration."""
    api.extract_fingerprint_dataset(number, num_processes=1, show_progress_bar=False)
    plans, name = api.plan_experiment_dataset(number)
    configuration = "3d_fullres" if "3d_fullres" in plans["configurations"] else "2d"
    api.preprocess_dataset(
        number, name, (configuration,), (1,), show_progress_bar=False
    )
    fold = {
        short: sorted(name for name, side in sides.items() if side == long)
        for short, long in (("train", "training"), ("val", "validation"))
    }
    text = str([fold]).replace("'", '"')
    (base / "splits_final.json").write_text(text, encoding="utf-8")
    return configuration


def train(trainer: nnUNetTrainer, clock: CpuClock, seconds: float) -> int:
    """Take steps until the seconds are spent; returns their number."""
    torch.set_num_threads(1)
    os.environ[PROCESSES] = "0"  # augments in this process
    trainer.on_train_start()
    trainer.network.train()
    steps = 0
    while (left := 1 - clock.seconds / seconds) > 0:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * left**0.9
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        steps += 1
        print(
            f"step {steps}: loss {float(loss):.4f}, {clock.seconds:.0f} s", flush=True
        )
    trainer.on_train_end()
    return steps


def main() -> None:
    """Plan, preprocess and train within the seconds; segment the test images."""
    given = read_exchange()
    work = given.output / "nnunet"
    os.environ |= {
        "nnUNet_raw": str(given.folder.parent),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        PROCESSES: "1",  # the planner refuses 0
    }
    limit = LARGEST_GB * 1024**3
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    random.seed(given.seed)
    np.random.seed(given.seed)
    torch.manual_seed(given.seed)
    name = given.folder.name
    sides = {
        one: side for side in ("training", "validation") for one in given.names(side)
    }
    shutil.rmtree(work, ignore_errors=True)
    clock = CpuClock()
    base = work / "preprocessed" / name
    configuration = prepare(int(name[7:10]), sides, base)
    prepared = clock.seconds
    trainer = get_trainer_from_args(name, configuration, 0, device=CPU)
    free = 0.0
    if given.only_training:
        free, clock = prepared, CpuClock()
    steps = train(trainer, clock, given.seconds)
    learned, use = free + clock.seconds, CpuClock()
    predictor = nnUNetPredictor(device=CPU, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,))
    predictor.predict_from_files_sequential(
        str(given.folder / "imagesTs"), str(given.output)
    )
    plan = trainer.configuration_manager
    shutil.rmtree(work)
    given.finish(
        learning_s=learned,
        preparing_s=prepared,
        training_s=learned - prepared,
        using_s=use.seconds,
        steps=steps,
        configuration=configuration,
        patch=list(plan.patch_size),
        batch=plan.batch_size,
        parameters=sum(weight.numel() for weight in trainer.network.parameters()),
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    )


if __name__ == "__main__":
    main()
