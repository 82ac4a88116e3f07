"""How much of a case is annotated decides whether it has a reference."""

from pathlib import Path

import pytest

from segpipe.dataset.case import read_cases
from segpipe.project.paths import Paths
from segpipe.review.items.laying import Masks, annotated_share
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, run_to_split


@pytest.mark.parametrize(("ignore", "share"), [(None, 1.0), (9, 15 / 16)])
def test_the_share_is_that_of_the_slices(
    tmp_path: Path, ignore: int | None, share: float
) -> None:
    """The last of 16 slices is not annotated."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, ignore=ignore)
    run_to_split(paths)
    cases = read_cases(paths.artifacts)

    assert annotated_share(cases, "case_00", paths) == share
    assert Masks().read(cases, "case_00") is None
