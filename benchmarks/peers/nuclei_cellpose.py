"""Cellpose from scratch, in its own environment: its recipe within a budget.

Source:
    Stringer 2021, doi:10.1038/s41592-020-01018-x; the defaults of its command line
    (SGD at 0.2, eight images a step) and the diameter of its nuclei model, 17 px. Its
    schedule counts epochs, so there are about 200 short ones.
"""

import os

os.environ.update(CUDA_VISIBLE_DEVICES="")

import numpy as np
import torch
from cellpose import dynamics, metrics, models, train

from benchmarks.peers.exchange import CpuClock, read_exchange

BATCH, EPOCHS, DIAMETER = 8, 200, 17.0
PROBABILITIES, FLOWS = (-2.0, -1.0, 0.0), (0.4, 0.8)
THRESHOLDS = list(np.arange(50, 100, 5) / 100)


def build(seed: int) -> models.CellposeModel:
    """A network with random weights."""
    torch.manual_seed(seed)
    return models.CellposeModel(gpu=False, pretrained_model=None, diam_mean=DIAMETER)


def learn(
    model: models.CellposeModel, x: list, flows: list, folder: str, *, steps: int
) -> int:
    """Train for about so many steps; returns their number."""
    images = BATCH * max(1, round(steps / EPOCHS))
    epochs = max(1, steps * BATCH // images)
    train.train_seg(
        model.net,
        train_data=x,
        train_labels=flows,
        channels=[0, 0],
        batch_size=BATCH,
        learning_rate=0.2,
        weight_decay=1e-5,
        SGD=True,
        n_epochs=epochs,
        nimg_per_epoch=images,
        save_path=folder,
        model_name="cellpose",
    )
    return epochs * images // BATCH


def segment(
    model: models.CellposeModel, image: np.ndarray, probability: float, flow: float
) -> np.ndarray:
    """Instance ids, with the mean diameter of the training labels."""
    found: np.ndarray = model.eval(
        image,
        channels=[0, 0],
        cellprob_threshold=probability,
        flow_threshold=flow,
    )[0]
    return found


def main() -> None:
    """Train within the seconds, choose the thresholds, segment the test images."""
    given = read_exchange()
    torch.set_num_threads(1)
    np.random.seed(given.seed)
    x, y = given.pairs("training")
    x_val, y_val = given.pairs("validation")
    folder = str(given.output)
    given.output.mkdir(parents=True, exist_ok=True)
    clock = CpuClock()
    flows = dynamics.labels_to_flows(y, device=torch.device("cpu"))
    probe = CpuClock()
    learn(build(given.seed), x, flows, folder, steps=1)
    once = probe.seconds
    learn(build(given.seed), x, flows, folder, steps=3)
    step = (probe.seconds - 2 * once) / 2
    model = build(given.seed)
    steps = learn(
        model,
        x,
        flows,
        folder,
        steps=int((given.seconds - clock.seconds) / step),
    )
    learned, choice = clock.seconds, CpuClock()
    scores: dict = {}

    def score(*settings: float) -> float:
        if settings not in scores:
            found = [segment(model, one, *settings) for one in x_val]
            precision = metrics.average_precision(y_val, found, THRESHOLDS)[0]
            scores[settings] = float(np.mean(precision))
        return scores[settings]

    probability = max(PROBABILITIES, key=lambda value: score(value, FLOWS[0]))
    best = max(((probability, flow) for flow in FLOWS), key=lambda pair: score(*pair))
    chosen, use = choice.seconds, CpuClock()
    for name in given.names("test"):
        given.write(name, segment(model, given.image(name), *best))
    given.finish(
        learning_s=learned,
        choosing_s=chosen,
        using_s=use.seconds,
        steps=steps,
        settings=dict(zip(("cellprob", "flow"), best, strict=True)),
        validation_ap=scores[best],
    )


if __name__ == "__main__":
    main()
