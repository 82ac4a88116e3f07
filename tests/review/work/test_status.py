"""The status names what is left, and says nothing of ratings before all is signed."""

from pathlib import Path

import pytest

from segpipe.approval.chain.signing import append
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.work.status import status
from tests.support.readers import PASSWORD
from tests.support.reviews import decision
from tests.support.work import open_work, reading_of, shown


def test_the_status_is_progress_first_and_then_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGPIPE_REVIEW_DATABASE", f"sqlite:///{tmp_path}/accounts.db")
    review = open_work(tmp_path, {"item1": shown(case="case1\x1b[2J")})
    paths, folder = Paths(tmp_path), review.volume.folder
    for name in ("jane", "john"):
        review.add(name)
    review.add("lea", "lead", reads=False)

    for number, name in enumerate(("jane", "john"), start=1):
        before = "\n".join(status(["liver", "3"], paths))
        assert "Random cases" not in before
        assert f"{3 - number} signature" in before
        line = f"liver 3: {3 - number} readings and 0 adjudications missing, {folder}"
        assert status([], paths) == [line]
        content = reading_of(review.volume, "item1", {"candidate": 2})
        append(content, name, PASSWORD, tmp_path)
    append(decision(what="reject"), "lea", PASSWORD, tmp_path)

    after = "\n".join(status([str(folder)], paths))
    assert "1 of 1 random case is not acceptable: 100.0 %" in after
    assert "It is not approved now: Dr Lea rejected it" in after
    assert "\x1b" not in after
    assert status([], paths) == [f"liver 3: all is signed, {folder}"]


def test_what_is_no_dossier_is_refused(tmp_path: Path) -> None:
    review = open_work(tmp_path, {"item1": shown()})
    review.database.close()

    with pytest.raises(DataError, match="expected a dossier, found no file"):
        status(["kidney", "1"], Paths(tmp_path))
    with pytest.raises(DataError, match="found 3 words"):
        status(["liver", "3", "4"], Paths(tmp_path))
