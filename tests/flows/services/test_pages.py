"""The addresses name the view that the registry names; test_services.py opens them."""

from flows.services import pages
from segpipe.registry import store


def test_the_view_is_that_of_the_registry() -> None:
    assert f"mlflow.sharedViewState.{pages.VIEW}" == store.VIEW
