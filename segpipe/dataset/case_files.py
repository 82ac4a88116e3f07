"""The files of a case: images, label and instances, and what a model predicted."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from segpipe.dataset.case import Case, CaseList
from segpipe.images.borders import Separation
from segpipe.images.formats.colours import is_picture, match_colours
from segpipe.images.formats.files import read_image, read_label, write_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.documents import Document


def read_case(data: Path, cases: CaseList, case: Case) -> Image:
    """Read all channels of a case, on the grid of the first.

    A channel that the case lacks is NaN, which preprocessing turns into 0. A grey
    picture in a data set of colours, or the reverse, is converted (``match_colours``).
    """
    parts = [
        read_image(data / file, spacing_mm=cases.spacing_mm) for file in case.images
    ]
    grid, arrays = parts[0].grid, [part.array for part in parts]
    for number in case.missing:  # in ascending order
        arrays.insert(number, np.full_like(arrays[0][:1], np.nan))
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if len(arrays) == 1 and is_picture(data / case.images[0]):
        array, _ = match_colours(array, cases.channels)
    return Image(array, Grid(grid.shape, grid.affine, cases.unit))


def read_case_label(data: Path, cases: CaseList, case: Case) -> LabelMap:
    """Read the label map of a case."""
    return _read_labels(data, cases, case.label)


def read_case_instances(data: Path, cases: CaseList, case: Case) -> LabelMap | None:
    """Read the instance ids of a case, 0 for no instance; None without such a file."""
    if case.instances is None:
        return None
    return _read_labels(data, cases, case.instances)


def read_observer_labels(
    data: Path, cases: CaseList, case: Case
) -> dict[str, LabelMap]:
    """Read what other people drew in a case, by the name of each."""
    return {
        observer: _read_labels(data, cases, file)
        for observer, file in case.observers.items()
    }


def _read_labels(data: Path, cases: CaseList, file: str) -> LabelMap:
    label = read_label(data / file, spacing_mm=cases.spacing_mm)
    return LabelMap(label.array, Grid(label.grid.shape, label.grid.affine, cases.unit))


class PredictionRecord(Document):
    """Which segmenter predicted which cases.

    Attributes:
        format_version: Version of this document.
        model: Name of the model.
        folds: Numbers of the folds; a prediction is the mean over them.
        segmenter: Digest of the segmenters of the folds.
        cases: Names of the predicted cases.
        separation: What older records say of lines between touching instances.
    """

    format_version: Literal[1]
    model: str
    folds: tuple[int, ...]
    segmenter: str
    cases: tuple[str, ...]
    separation: Separation | None = Field(None, exclude=True)  # nothing reads it


def predictions_folder(artifacts: Path, model: str) -> Path:
    """The folder of the label maps that a model predicted, and of their record."""
    return artifacts / "predict" / model


def prediction_record_file(folder: Path) -> Path:
    """The file of the record in a folder of predictions."""
    return folder / "predictions.json"


def read_prediction_record(artifacts: Path, model: str) -> PredictionRecord:
    """Read which segmenter made the predictions of a model.

    Raises:
        DataError: If the model predicted nothing yet.
    """
    folder = predictions_folder(artifacts, model)
    return PredictionRecord.read(prediction_record_file(folder))


def prediction_file(folder: Path, cases: CaseList, name: str) -> Path:
    """The file of the predicted label map of a case in a folder of predictions."""
    return folder / f"{name}{cases.file_ending}"


def read_prediction(
    artifacts: Path, model: str, cases: CaseList, name: str
) -> LabelMap | None:
    """Read the label map that a model predicted for a case; None if it is missing."""
    file = prediction_file(predictions_folder(artifacts, model), cases, name)
    if not file.is_file():
        return None
    return read_label(file, spacing_mm=cases.spacing_mm)


def instances_file(folder: Path, cases: CaseList, name: str) -> Path:
    """The file of the predicted instance ids of a case in a folder of predictions."""
    return prediction_file(folder / "instances", cases, name)


def read_predicted_instances(
    artifacts: Path, model: str, cases: CaseList, name: str
) -> LabelMap | None:
    """Read the instance ids that a model predicted; None if there is no such file."""
    file = instances_file(predictions_folder(artifacts, model), cases, name)
    return read_label(file, spacing_mm=cases.spacing_mm) if file.is_file() else None


def write_prediction(
    folder: Path,
    cases: CaseList,
    name: str,
    label: LabelMap,
    instances: LabelMap | None = None,
) -> None:
    """Write what was predicted for a case into a folder of predictions.

    Args:
        folder: The folder.
        cases: The data set.
        name: Name of the case.
        label: The label map.
        instances: Instance ids on the same grid, if its reference has some.
    """
    write_label(prediction_file(folder, cases, name), label.array, label.grid)
    if instances is not None:
        file = instances_file(folder, cases, name)
        file.parent.mkdir(exist_ok=True)
        write_label(file, instances.array, instances.grid)
