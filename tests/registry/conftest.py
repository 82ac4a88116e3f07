"""A store with registered versions, for the tests of several modules."""

import pytest

from segpipe.project.paths import Paths
from tests.support.stores import add_two, write_store


@pytest.fixture
def store(paths: Paths) -> Paths:
    """A project whose store holds version 1 of liver, the champion."""
    write_store(paths)
    return paths


@pytest.fixture
def three(store: Paths) -> Paths:
    """Version 2 is the champion, 1 the previous one, 3 the candidate."""
    add_two(store)
    return store
