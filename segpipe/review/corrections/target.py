"""Target: the case of the project whose mask is corrected, and what that is for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Integer

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case_label
from segpipe.dataset.split import lock_file, pseudonym, read_lock, read_split
from segpipe.images.grid import Grid
from segpipe.images.values import Legend
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths

Purpose = Literal["reference", "training"]
TESTED = (
    "is in the test set: nothing of this patient may be trained on; a correction of a "
    "test case makes a new version of its reference"
)


@dataclass(frozen=True, eq=False)
class Target:
    """A case of the project, as it lies in data/ now.

    Attributes:
        cases: The verified data set.
        case: The case.
        grid: The grid of its label map.
        label: Its label map.
        digest: SHA-256 of the label map's file.
        purpose: What a correction of it is for.
    """

    cases: CaseList
    case: Case
    grid: Grid
    label: Integer[np.ndarray, "i j k"]
    digest: str
    purpose: Purpose

    @property
    def legend(self) -> Legend:
        """What the values of its label map stand for."""
        return self.cases.legend


def find_target(name: str, paths: Paths) -> Target:
    """Find a case of the project, by its name.

    A test case is corrected for the reference; every other case for the training.

    Raises:
        DataError: If it is no longer in the data.
    """
    cases = read_cases(paths.artifacts)
    case = next((one for one in cases.cases if one.name == name), None)
    if case is None or not (paths.data / case.label).is_file():
        raise DataError(
            "the case: expected one of the project's data, found that it is no longer "
            "there; build the review again with `segpipe review build`"
        )
    label = read_case_label(paths.data, cases, case)
    tested = is_tested(paths)(case.patient)
    return Target(
        cases=cases,
        case=case,
        grid=label.grid,
        label=label.array,
        digest=digest_file(paths.data / case.label),
        purpose="reference" if tested else "training",
    )


def is_tested(paths: Paths) -> Callable[[str], bool]:
    """Whether a patient is in the test set, now or by the side that it once got.

    A patient whose cases left the data keeps its side in split.lock, and is found.
    """
    cases, test = read_cases(paths.artifacts), {*read_split(paths.artifacts).test}
    known = {case.patient for case in cases.cases if case.name in test}
    lock = lock_file(paths.root)
    kept = read_lock(lock).sides if lock.is_file() else {}
    return lambda patient: patient in known or kept.get(pseudonym(patient)) == "test"


def refuse_tested(case: str, patient: str, images: str, paths: Paths) -> None:
    """Refuse a case of which anything belongs to the test set.

    Args:
        case: Name of the case.
        patient: Its patient.
        images: Digest of the voxels of its images, as verify computes it.
        paths: The project's folders.

    Raises:
        DataError: If its patient is tested, a test case has its name, or a tested
            patient has an image with the same voxels under another name.
    """
    cases = read_cases(paths.artifacts)
    tested = is_tested(paths)
    if tested(patient):
        raise DataError(
            f"{patient}: expected a patient who is not tested, found that "
            f"the patient {TESTED}"
        )
    for one in cases.cases:
        if tested(one.patient) and (one.name == case or one.digest == images):
            raise DataError(
                f"{case}: expected a case of no tested patient, found the name or the "
                f"voxels of {one.name}, whose patient {TESTED}"
            )
