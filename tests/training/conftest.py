"""A project that is prepared for training, for the tests of several modules."""

import pytest

from segpipe.project.paths import Paths
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, run_to_annotate
from tests.support.tasks import PARAMS


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Up to annotate, for one model; never change it."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_annotate(paths, {"vnet": PARAMS})
    return paths
