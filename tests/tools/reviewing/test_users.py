"""Everybody who has or had a key is listed."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.reviewing.users import users


def test_who_may_sign_and_who_may_no_longer(project: Paths) -> None:
    rows = {line.split()[0]: line for line in users(project.root)[1:]}

    assert set(rows) == {"ann", "lea", "rob", "ray", "max"}
    assert "lead, reader" in rows["lea"]
    assert "in record 11" in rows["ray"]
    assert rows["max"].endswith("tom@lab")


def test_a_project_without_people_says_how_to_begin(tmp_path: Path) -> None:
    words = "`segpipe review users add NAME --printed-name 'FULL NAME' --role admin`"
    with pytest.raises(DataError, match=words):
        users(tmp_path)
