"""People are compared with the reference as models are."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import cases_file, read_cases
from segpipe.dataset.split import read_split
from segpipe.evaluation.measures.metrics import dice
from segpipe.evaluation.observers import find_agreements
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.project.paths import Paths
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, run_to_split


def test_an_observer_who_draws_less_gets_the_dice_of_it(tmp_path: Path) -> None:
    """The last slice does not count: nobody annotated it in the reference."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, structures=1, ignore=9)
    for file in (paths.data / "labelsTr").iterdir():
        label = read_label(file)
        array = np.where(label.array == 9, 1, label.array)
        array[:12] = 0
        write_label(paths.data / "observers" / "anna" / file.name, array, label.grid)
    run_to_split(paths)
    (found,) = find_agreements(paths)

    test = read_split(paths.artifacts).test
    balls = [read_label(paths.data / f"labelsTr/{n}.nii").array == 1 for n in test]
    halves = [np.where(np.arange(24)[:, None, None] < 12, False, b) for b in balls]
    wanted = np.mean([dice(b, h) for b, h in zip(balls, halves, strict=True)])
    assert found.observer == "anna"
    assert found.cases == len(test)
    assert found.dice == pytest.approx(wanted)
    assert found.structures == {"ball": pytest.approx(wanted)}


def test_data_of_one_person_have_no_agreement_and_no_new_key(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, structures=1)
    run_to_split(paths)

    assert find_agreements(paths) == []
    document = json.loads(cases_file(paths.artifacts).read_text())
    assert "observers" not in document["cases"][0]
    assert read_cases(paths.artifacts).cases[0].observers == {}
