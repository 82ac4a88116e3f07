"""What is missing of the extra is said before anything starts."""

import re
import tomllib

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.reviewing import extra
from segpipe.tools.reviewing.extra import PACKAGES, describe_missing, require_extra
from tests.support.places import ROOT


def test_the_packages_are_those_of_the_extra() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = document["project"]["optional-dependencies"]["review"]

    assert {re.split(r"[<>=]", one)[0] for one in asked} == set(PACKAGES)
    assert describe_missing() is None


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extra.PACKAGES, "argon3", "argon3")

    with pytest.raises(DataError, match=r"argon3: run `pip install 'segpipe\[review\]"):
        require_extra()
