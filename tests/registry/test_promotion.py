"""A champion at every moment, and the reason with it."""

import getpass
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from mlflow import MlflowClient

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry import promotion
from segpipe.registry.mlflow_model.approved import Warrant
from segpipe.registry.promotion import promote, review, rollback
from segpipe.registry.store import connect
from segpipe.registry.versions import find_alias, list_versions
from tests.support.store_kills import kill_before_each_write, run_killed
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


def test_the_descriptions_say_who_promoted_a_version_and_why(three: Paths) -> None:
    """What a person wrote above the standing stays."""
    client, _ = connect(three)
    client.update_model_version("liver", "3", description="Trained by Ann.")

    promote("liver", "3", "finds the small vessels", three)

    described = {one.version: one.description for one in list_versions("liver", three)}
    assert described["3"].startswith("Trained by Ann.\n\n### Standing\n\n")
    assert "It is the champion." in described["3"]
    who = f"{getpass.getuser()} on {socket.gethostname()}: finds the small vessels"
    assert who in described["3"]
    assert "It is the previous." in described["2"]
    model = client.get_registered_model("liver").description
    assert "champion: [version 3](#/models/liver/versions/3)" in model
    assert "previous: [version 2]" in model


def test_promoting_the_champion_changes_nothing(three: Paths) -> None:
    before = find_alias("liver", "champion", three)

    assert promote("liver", "2", "again", three) == before


@pytest.mark.parametrize(
    ("act", "step"), [("promote", n) for n in (5, 6, 7)] + [("rollback", 10)]
)
def test_a_kill_between_two_moves_leaves_a_champion_and_the_next_call_ends_it(
    three: Paths, act: str, step: int
) -> None:
    """The first step takes the turn; then come 4 tags of promote, 8 of rollback."""
    assert run_killed(lambda: ACTS[act](three), step)

    champion = find_alias("liver", "champion", three)
    assert champion is not None
    assert champion.tags["promoted.why"]
    ACTS[act](three)
    assert aliases(three) == END[act]


def test_a_rollback_after_a_killed_promotion_is_the_state_before_it(
    three: Paths,
) -> None:
    assert run_killed(lambda: ACTS["promote"](three), 6)
    assert aliases(three) == {"champion": "2", "previous": "2", "candidate": "3"}

    for _ in range(2):  # repeated, it is the same rollback
        rollback("liver", "why", three)
        assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


ACTS: dict[str, Callable[[Paths], object]] = {
    "promote": lambda paths: promote("liver", "3", "why", paths),
    "rollback": lambda paths: rollback("liver", "why", paths),
    "review": lambda paths: review("liver", "3", "accepted", "seen", paths),
}
END = {
    "promote": {"champion": "3", "previous": "2"},
    "rollback": {"champion": "1", "previous": "2", "candidate": "3"},
    "review": {"champion": "2", "previous": "1", "candidate": "3"},
}


@pytest.mark.parametrize(
    ("act", "writes"), [("promote", 13), ("rollback", 15), ("review", 4)]
)
def test_killed_before_each_write_and_repeated_it_ends_the_same(
    three: Paths, act: str, writes: int
) -> None:
    """Repeated after its last step, a killed rollback brought the bad version back."""

    def check_champion() -> None:
        champion = find_alias("liver", "champion", three)
        assert champion is not None
        assert champion.tags["promoted.why"]

    kills = kill_before_each_write(
        three, lambda: ACTS[act](three), name="liver", meanwhile=check_champion
    )

    assert kills == writes
    assert aliases(three) == END[act]


def test_of_two_promotions_at_once_both_versions_are_reachable(three: Paths) -> None:
    """One ends before the other, which says that the champion moved, or takes turns."""
    both = ("3", add_version(three, "four"))
    together = Barrier(len(both))

    def act(version: str) -> bool:
        together.wait(60)
        try:
            promote("liver", version, "why", three)
        except DataError as error:
            assert "which another promotion chose meanwhile" in str(error)  # noqa: PT017
            return False
        return True

    with ThreadPoolExecutor() as threads:
        ended = dict(zip(both, threads.map(act, both), strict=True))

    won = [version for version, ended_well in ended.items() if ended_well]
    now = aliases(three)
    assert now["champion"] in won
    before = {"2"} if len(won) == 1 else {*both} - {now["champion"]}
    assert now["previous"] in before
    assert rollback("liver", "it is worse", three).version in before
    assert not connect(three)[0].get_registered_model("liver").tags


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


def test_without_a_policy_nothing_is_signed_and_an_emergency_is_none(
    three: Paths,
) -> None:
    with pytest.raises(DataError, match="promote it without --emergency"):
        promote("liver", "3", "why", three, Warrant("ann", "secret", emergency=True))

    promote("liver", "3", "why", three)
    assert not (three.root / "reviews").exists()
    assert "review.head" not in list_versions("liver", three)[0].tags
