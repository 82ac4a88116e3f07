"""The addresses name what the registry names; test_services.py opens them."""

from flows.services import pages
from segpipe.registry import store


def test_the_names_are_those_of_the_registry() -> None:
    assert f"mlflow.sharedViewState.{pages.VIEW}" == store.VIEW
