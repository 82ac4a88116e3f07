"""A case whose files nobody touched keeps its finding, and no other case does."""

from pathlib import Path

import pytest

from segpipe.dataset.casework import digests
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.inspections import (
    Answer,
    Question,
    answer,
    keep_answers,
    recall,
)
from segpipe.dataset.inspection import Limits
from segpipe.dataset.layout import CaseFiles, read_dataset
from segpipe.project.paths import Paths
from tests.support.phantoms import write_dataset

LIMITS = Limits(grid_tolerance_mm=0.01, spacing_mm=(0.01, 100.0), empty_is_fault=False)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr(digests, "SETTLED_NS", -1_000_000_000)  # trusted at once
    paths = Paths(tmp_path)
    write_dataset(paths.data, dimensions=2, cases=2)
    return paths


def ask(paths: Paths, limits: Limits = LIMITS) -> tuple[Question, CaseFiles]:
    dataset = read_dataset(paths.data)
    question = Question(dataset, limits, paths, DataDigests.load(paths))
    return question, dataset.cases[0]


def keep(paths: Paths) -> Answer:
    found = answer(*ask(paths))
    keep_answers([found], DataDigests.load(paths), paths)
    return found


def test_an_untouched_case_is_recalled_as_it_was_found(paths: Paths) -> None:
    assert recall(*ask(paths)) is None
    found, again = keep(paths), recall(*ask(paths))

    assert again is not None
    assert again.finding.to_json() == found.finding.to_json()
    assert again.finding.files == found.finding.files


def test_a_touched_file_or_other_limits_are_inspected_again(paths: Paths) -> None:
    keep(paths)
    strict = Limits(grid_tolerance_mm=0.1, spacing_mm=(1.0, 2.0), empty_is_fault=True)
    assert recall(*ask(paths, strict)) is None
    file = paths.data / "labelsTr" / "case_00.png"
    file.write_bytes(file.read_bytes())

    assert recall(*ask(paths)) is None


def test_a_case_with_a_fault_is_never_recalled(paths: Paths) -> None:
    (paths.data / "labelsTr" / "case_00.png").write_bytes(b"")

    assert keep(paths).finding.faults
    assert recall(*ask(paths)) is None


def test_digests_of_files_that_left_are_forgotten(paths: Paths) -> None:
    keep(paths)
    assert len(DataDigests.load(paths).known) == 2
    keep_answers([], DataDigests.load(paths), paths)

    assert DataDigests.load(paths).known == {}
