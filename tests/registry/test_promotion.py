"""A champion at every moment, and the reason with it."""

import os
import subprocess
import sys

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.promotion import promote, review, rollback
from segpipe.registry.store import connect
from segpipe.registry.versions import find_alias
from tests.support.places import ROOT
from tests.support.stores import aliases


def test_a_promoted_version_says_why_and_the_champion_becomes_the_previous(
    three: Paths,
) -> None:
    version = promote("liver", "3", "finer vessels", three)

    assert aliases(three) == {"champion": "3", "previous": "2"}
    assert version.tags["promoted.why"] == "finer vessels"
    assert version.tags["promoted.from"] == "2"
    assert version.tags["promoted.at"].endswith("+00:00")


def test_a_candidate_that_is_not_promoted_stays_one(three: Paths) -> None:
    promote("liver", "1", "sturdier", three)

    assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}


def test_the_first_champion_has_none_before_it(three: Paths) -> None:
    client, _ = connect(three)
    for alias in ("champion", "previous"):
        client.delete_registered_model_alias("liver", alias)

    version = promote("liver", "3", "the first", three)

    assert aliases(three) == {"champion": "3"}
    assert version.tags["promoted.from"] == ""
    with pytest.raises(
        DataError, match="a previous version to go back to, found 3 @ch"
    ):
        rollback("liver", "why", three)


def test_a_rollback_changes_champion_and_previous_and_can_be_rolled_back(
    three: Paths,
) -> None:
    version = rollback("liver", "misses the left kidney", three)

    assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}
    assert version.version == "1"
    assert version.tags["promoted.why"] == "misses the left kidney"
    left = find_alias("liver", "previous", three)
    assert left is not None
    assert left.tags["rolled_back.why"] == "misses the left kidney"
    assert left.tags["rolled_back.to"] == "1"
    assert rollback("liver", "it was the scanner", three).version == "2"


def test_promoting_the_champion_changes_nothing(three: Paths) -> None:
    before = find_alias("liver", "champion", three)

    assert promote("liver", "2", "again", three) == before


KILLED = """
import os, sys
from pathlib import Path
from mlflow import MlflowClient
from segpipe.registry import promotion
from segpipe.project.paths import Paths
from segpipe.segmenter.spec import ensemble_digest
left = int(sys.argv[3])
def counted(name):
    whole = getattr(MlflowClient, name)
    def act(self, *words):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return whole(self, *words)
    setattr(MlflowClient, name, act)
for name in ("set_model_version_tag", "set_registered_model_alias",
             "delete_registered_model_alias"):
    counted(name)
paths = Paths(Path(sys.argv[1]))
if sys.argv[2] == "promote":
    promotion.promote("liver", "3", "why", paths)
else:
    promotion.rollback("liver", "why", paths)
"""


@pytest.mark.parametrize(
    ("act", "step"), [("promote", n) for n in (3, 4, 5)] + [("rollback", 7)]
)
def test_a_kill_between_two_moves_leaves_a_champion_and_the_next_call_ends_it(
    three: Paths, act: str, step: int
) -> None:
    """Steps 0 to 2 of promote are tags, 0 to 5 of rollback."""
    words = [sys.executable, "-c", KILLED, str(three.root), act, str(step)]
    killed = subprocess.run(words, cwd=ROOT, env=os.environ, check=False)

    assert killed.returncode == -9
    champion = find_alias("liver", "champion", three)
    assert champion is not None
    assert champion.tags["promoted.why"]
    if act == "promote":
        promote("liver", "3", "why", three)
        assert aliases(three) == {"champion": "3", "previous": "2"}
    else:
        rollback("liver", "why", three)
        assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}


def test_a_rollback_after_a_killed_promotion_is_the_state_before_it(
    three: Paths,
) -> None:
    words = [sys.executable, "-c", KILLED, str(three.root), "promote", "4"]
    subprocess.run(words, cwd=ROOT, env=os.environ, check=False)
    assert aliases(three) == {"champion": "2", "previous": "2", "candidate": "3"}

    rollback("liver", "why", three)

    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


@pytest.mark.parametrize("why", ["", "  "])
def test_nothing_moves_without_a_reason(three: Paths, why: str) -> None:
    for act in (lambda: promote("liver", "3", why, three), lambda: _back(why, three)):
        with pytest.raises(DataError, match="--why: expected the reason"):
            act()

    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


def _back(why: str, paths: Paths) -> None:
    rollback("liver", why, paths)


def test_an_unknown_version_is_said_with_those_that_there_are(three: Paths) -> None:
    with pytest.raises(DataError, match="version 9, found 3 @candidate, 2 @champion"):
        promote("liver", "9", "why", three)
    with pytest.raises(DataError, match="found no version; `segpipe models` lists"):
        promote("kidney", "1", "why", three)


def test_a_review_is_a_tag_and_moves_no_alias(three: Paths) -> None:
    version = review("liver", "3", "rejected", "leaks into the stomach", three)

    assert version.tags["review.status"] == "rejected"
    assert version.tags["review.note"] == "leaks into the stomach"
    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}
