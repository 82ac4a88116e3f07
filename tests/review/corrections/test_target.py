"""Which case is corrected, what for, and who may never be trained on."""

import shutil
from pathlib import Path

import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import lock_file, pseudonym, read_lock
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.corrections.target import find_target, is_tested, refuse_tested
from tests.support.corrected import judged_case, trained_on, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return write_project(tmp_path_factory.mktemp("target"))


def test_a_test_case_is_corrected_for_the_reference_others_for_training(
    project: Paths,
) -> None:
    assert find_target(judged_case(project), project).purpose == "reference"
    assert find_target(trained_on(project), project).purpose == "training"


def test_a_case_that_left_the_data_is_refused_without_its_name(project: Paths) -> None:
    with pytest.raises(DataError, match="no longer there") as refusal:
        find_target("case_99", project)

    assert "case_99" not in str(refusal.value)


def test_nothing_of_a_tested_patient_is_trained_on(project: Paths) -> None:
    """By the patient, by the name of the case, and by its voxels under any name."""
    cases = read_cases(project.artifacts)
    one, other = cases[judged_case(project)], cases[trained_on(project)]
    assert one.digest
    assert other.digest

    refuse_tested("new", "somebody", "0" * 64, project)
    refuse_tested("new", other.patient, other.digest, project)
    for case, patient, images in (
        ("new", one.patient, "0" * 64),
        (one.name, "somebody", "0" * 64),
        ("new", "somebody", one.digest),
    ):
        with pytest.raises(DataError, match="test set"):
            refuse_tested(case, patient, images, project)


def test_a_tested_patient_whose_cases_left_the_data_stays_tested(
    project: Paths, tmp_path: Path
) -> None:
    """split.lock remembers patients by a digest."""
    root = tmp_path / "project"
    shutil.copytree(project.root, root)
    lock = lock_file(root)
    sides = read_lock(lock).sides
    kept = {**sides, pseudonym("gone"): "test", pseudonym("came"): 0}
    read_lock(lock).model_copy(update={"sides": kept}).write(lock)
    judged = is_tested(Paths(root))

    assert judged("gone")
    assert not judged("came")
    assert not judged("never seen")
