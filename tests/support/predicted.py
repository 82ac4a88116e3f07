"""Predictions without a network: the references, moved by some voxels."""

import numpy as np

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import (
    PredictionRecord,
    prediction_record_file,
    predictions_folder,
    read_case_label,
    write_prediction,
)
from segpipe.dataset.split import read_split
from segpipe.images.volume import LabelMap
from segpipe.project.paths import Paths


def predict_references(paths: Paths, *, shift: int = 0) -> None:
    """Write the references of the test cases as what model m predicted.

    Args:
        paths: The project's folders.
        shift: Voxels along i by which they are rolled.
    """
    cases, names = read_cases(paths.artifacts), read_split(paths.artifacts).test
    folder = predictions_folder(paths.artifacts, "m")
    for name in names:
        label = read_case_label(paths.data, cases, cases[name])
        moved = LabelMap(np.roll(label.array, shift, axis=0), label.grid)
        write_prediction(folder, cases, name, moved)
    PredictionRecord(
        format_version=1, model="m", folds=(0,), segmenter="0" * 64, cases=names
    ).write(prediction_record_file(folder))
