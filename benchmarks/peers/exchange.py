"""Exchange: the folder through which an experiment and a peer's script meet.

It needs numpy only. The references of the test images are not in the folder, so that no
method can look at them.
"""

import csv
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Pairs = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Exchange:
    """The arguments of a peer's script.

    Attributes:
        folder: Folder with sides.csv (name, side) and, of nuclei, images/NAME.npy
            (uint8, row column channel) and labels/NAME.npy (instance ids, row column).
        output: Folder for the prediction of each test image, and about.json.
        seconds: CPU seconds that the script may learn for.
        seed: Seed of its random numbers.
        only_training: Whether the seconds are those of the training alone; what comes
            before it is free.
    """

    folder: Path
    output: Path
    seconds: float
    seed: int
    only_training: bool = False

    def names(self, side: str) -> list[str]:
        """Names of the images of a side."""
        with (self.folder / "sides.csv").open(encoding="utf-8", newline="") as file:
            return [row["name"] for row in csv.DictReader(file) if row["side"] == side]

    def image(self, name: str) -> np.ndarray:
        """An image: uint8, row column channel."""
        array: np.ndarray = np.load(self.folder / "images" / f"{name}.npy")
        return array

    def pairs(self, side: str) -> Pairs:
        """Images and instance ids of the side ``training`` or ``validation``."""
        names = self.names(side)
        labels = [np.load(self.folder / "labels" / f"{name}.npy") for name in names]
        return [self.image(name) for name in names], labels

    def write(self, name: str, instances: np.ndarray) -> None:
        """Write the predicted instance ids of a test image."""
        self.output.mkdir(parents=True, exist_ok=True)
        np.save(self.output / f"{name}.npy", instances.astype(np.int32))

    def finish(self, **about: Any) -> None:
        """Write what is to be known of the run, last: it says that all is there."""
        text = json.dumps(about, indent=2, default=float)
        (self.output / "about.json").write_text(text + "\n", encoding="utf-8")


def read_exchange() -> Exchange:
    """Read the arguments: folder, output, seconds, seed and, if so, ``training``."""
    folder, output, seconds, seed, *more = sys.argv[1:]
    return Exchange(
        Path(folder), Path(output), float(seconds), int(seed), more == ["training"]
    )


class CpuClock:
    """CPU seconds since the clock was made: threads, and processes waited for, too."""

    def __init__(self) -> None:
        self._began = sum(os.times()[:4])

    @property
    def seconds(self) -> float:
        """CPU seconds so far."""
        return sum(os.times()[:4]) - self._began
