"""A champion at every moment, and the reason with it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry import promotion
from segpipe.registry.promotion import promote, review, rollback
from segpipe.registry.store import connect
from segpipe.registry.versions import find_alias, list_versions
from tests.support.places import ROOT
from tests.support.stores import add_version, aliases


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


WRITES = (
    "set_model_version_tag",
    "delete_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "delete_registered_model_tag",
)
END = {
    "promote": {"champion": "3", "previous": "2"},
    "rollback": {"champion": "1", "previous": "2", "candidate": "3"},
}


class Killed(BaseException):
    """After it, a process writes nothing more, not even in a finally."""


def run_killed(act: Callable[[], object], steps: int) -> bool:
    """Run an act that is killed before its next write; returns whether it was."""
    left = steps

    def counted(whole: Callable[..., object]) -> Callable[..., object]:
        def write(*words: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return whole(*words)

        return write

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 2**30)  # a process that is no more
        for name in WRITES:
            patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
        try:
            act()
        except Killed:
            return True
    return False


def begin_anew(paths: Paths) -> None:
    """The state of the fixture three."""
    client, _ = connect(paths)
    for version in list_versions("liver", paths):
        for tag in version.tags:
            if tag.startswith(("promoted", "rolled", "restored")):
                client.delete_model_version_tag("liver", version.version, tag)
    client.set_model_version_tag("liver", "2", "promoted.why", "better")
    client.set_model_version_tag("liver", "2", "promoted.from", "1")
    for alias, number in {"champion": "2", "previous": "1", "candidate": "3"}.items():
        client.set_registered_model_alias("liver", alias, number)


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_killed_after_each_step_and_repeated_it_ends_the_same(
    three: Paths, act: str
) -> None:
    """Repeated after its last step, a killed rollback brought the bad version back."""

    def run() -> object:
        if act == "promote":
            return promote("liver", "3", "why", three)
        return rollback("liver", "why", three)

    for steps in range(30):
        begin_anew(three)
        killed = run_killed(run, steps)

        assert "champion" in aliases(three)
        run()
        assert aliases(three) == END[act]
        assert not connect(three)[0].get_registered_model("liver").tags
        if not killed:
            break
    assert steps > 6


def test_of_two_promotions_at_once_both_versions_are_reachable(three: Paths) -> None:
    """One ends before the other, which says that the champion moved, or takes turns."""
    four = add_version(three, "four")
    processes = [
        subprocess.Popen([sys.executable, "-c", PROMOTING, str(three.root), version])
        for version in ("3", four)
    ]
    ended = {v: p.wait() for v, p in zip(("3", four), processes, strict=True)}

    won = [version for version, status in ended.items() if status == 0]
    now = aliases(three)
    assert now["champion"] in won
    assert now["previous"] == (
        "2" if len(won) == 1 else ({"3", four} - {won[-1]}).pop()
    )
    assert set(ended.values()) <= {0, 9}


PROMOTING = """
import sys
from pathlib import Path
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.promotion import promote
try:
    promote("liver", sys.argv[2], "why", Paths(Path(sys.argv[1])))
except DataError as error:
    print(error)
    sys.exit(9)
"""


def test_a_champion_that_moved_meanwhile_is_not_replaced(
    three: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the turn, another process made version 1 the champion."""

    @contextmanager
    def late(client: MlflowClient, name: str) -> Iterator[None]:
        client.set_registered_model_alias(name, "champion", "1")
        yield

    monkeypatch.setattr(promotion, "_turn", late)
    with pytest.raises(DataError, match=r"expected version 2 .* as before, found 1"):
        promote("liver", "3", "why", three)

    assert aliases(three)["champion"] == "1"


def test_who_does_not_get_a_turn_says_so_and_leaves_no_tag(
    three: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = connect(three)
    tag = "segpipe.turn/elsewhere/1/abc"
    client.set_registered_model_tag("liver", tag, str(time.time()))
    monkeypatch.setattr(promotion, "PATIENCE_S", 0.5)
    with pytest.raises(DataError, match="no other promotion at work"):
        promote("liver", "3", "why", three)
    assert list(client.get_registered_model("liver").tags) == [tag]

    client.set_registered_model_tag("liver", tag, "1000")  # it was killed long ago
    promote("liver", "3", "why", three)
    assert not client.get_registered_model("liver").tags


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
