"""StarDist from scratch, in its own environment: its 2-D recipe within a budget.

Source:
    Schmidt 2018, arXiv:1806.03535; the notebook examples/2D/2_training of the project
    (32 rays, grid of 2, percentiles 1 and 99.8, its augmenter, its own choice of
    thresholds). Colour images, normalized jointly.
"""

import os

os.environ.update(
    CUDA_VISIBLE_DEVICES="",
    TF_CPP_MIN_LOG_LEVEL="2",
    TF_NUM_INTRAOP_THREADS="1",
    TF_NUM_INTEROP_THREADS="1",
)

import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D

from benchmarks.peers.exchange import CpuClock, Pairs, read_exchange

STEPS = 20  # an epoch, after which the validation images are looked at


def prepare(image: np.ndarray) -> np.ndarray:
    """The image between its percentiles 1 and 99.8, all colours together."""
    scaled: np.ndarray = normalize(image.astype(np.float32), 1, 99.8, axis=(0, 1, 2))
    return scaled


def augment(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple:
    """The notebook's augmenter: turns and mirrors, intensity, noise."""
    turns = int(rng.integers(4))
    x, y = np.rot90(x, turns), np.rot90(y, turns)
    for axis in (0, 1):
        if rng.random() < 0.5:
            x, y = np.flip(x, axis), np.flip(y, axis)
    x = x * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2)
    deviation = 0.02 * rng.uniform(0, 1)
    return x + deviation * rng.normal(0, 1, x.shape), y


class Budget(tf.keras.callbacks.Callback):
    """Ends the training with the step that spends the last of the seconds."""

    def __init__(self, clock: CpuClock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds, self.steps = clock, seconds, 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the step, and look at the clock."""
        self.steps += 1
        if self.clock.seconds > self.seconds:
            self.model.stop_training = True


def prepared(pairs: Pairs) -> Pairs:
    """Normalized images and label maps without holes."""
    images, labels = pairs
    return [prepare(image) for image in images], [fill_label_holes(y) for y in labels]


def main() -> None:
    """Train within the seconds, choose the thresholds, segment the test images."""
    given = read_exchange()
    training, validation = given.pairs("training"), given.pairs("validation")
    tf.keras.utils.set_random_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    clock = CpuClock()
    x, y = prepared(training)
    x_val, y_val = prepared(validation)
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=3,
        train_epochs=10_000,
        train_steps_per_epoch=STEPS,
        train_tensorboard=False,
        train_sample_cache=True,
    )
    model = StarDist2D(config, name="stardist", basedir=str(given.output))
    model.prepare_for_training()
    budget = Budget(clock, given.seconds)
    model.callbacks.append(budget)
    model.train(
        x,
        y,
        validation_data=(x_val, y_val),
        augmenter=lambda x, y: augment(rng, x, y),
    )
    learned, choice = clock.seconds, CpuClock()
    thresholds = model.optimize_thresholds(x_val, y_val)
    chosen, use = choice.seconds, CpuClock()
    for name in given.names("test"):
        given.write(name, model.predict_instances(prepare(given.image(name)))[0])
    given.finish(
        learning_s=learned,
        choosing_s=chosen,
        using_s=use.seconds,
        steps=budget.steps,
        settings=dict(thresholds),
    )


if __name__ == "__main__":
    main()
