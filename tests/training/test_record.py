"""What a training was made from, and how it went, is read as it was written."""

import math
from pathlib import Path

import pytest

from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.training.record import (
    find_trainings,
    history_file,
    read_history,
    read_record,
    record_file,
    segmenter_folder,
    training_folder,
    write_history,
)
from tests.support.trainings import training_record

NAN = float("nan")


def test_a_history_keeps_nine_digits_and_what_is_unknown(tmp_path: Path) -> None:
    history = [
        {"epoch": 1.0, "training_loss": 1 / 3, "validation_dice": NAN},
        {"epoch": 2.0, "training_loss": 1e-7 / 3, "validation_dice": 0.5},
    ]
    write_history(tmp_path, history)

    assert history_file(tmp_path).read_text() == (
        "epoch,training_loss,validation_dice\n1,0.333333333,\n2,3.33333333e-08,0.5\n"
    )
    first, second = read_history(tmp_path)
    assert first["training_loss"] == pytest.approx(1 / 3, rel=1e-8)
    assert math.isnan(first["validation_dice"])
    assert second["validation_dice"] == 0.5


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = training_folder(tmp_path, "vnet", 1)
    record = training_record("vnet", 1)
    record.write(record_file(folder))

    assert read_record(folder) == record
    assert record_file(folder) == tmp_path / "train" / "vnet" / "1" / "fingerprint.json"
    assert segmenter_folder(folder) == folder / "segmenter"
    assert list(record.model_dump())[:5] == [
        "format_version",
        "fingerprint",
        "parent",
        "fold",
        "model",
    ]


def test_all_finished_trainings_are_found(tmp_path: Path) -> None:
    folders = [
        training_folder(tmp_path, model, fold) for model in "ab" for fold in (0, 1)
    ]
    for folder in folders[:3]:
        training_record("m", 0).write(record_file(folder))
    folders[3].mkdir(parents=True)

    assert find_trainings(tmp_path) == folders[:3]
    assert find_trainings(tmp_path / "elsewhere") == []


def test_an_unfinished_training_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a finished training.*`dvc repro`"):
        read_history(tmp_path)
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_record(tmp_path)
    document = training_record("m", 0).model_dump(mode="json")
    write_json(record_file(tmp_path), {**document, "format_version": 2})
    with pytest.raises(DataError, match=r"fingerprint\.json.*format_version"):
        read_record(tmp_path)
