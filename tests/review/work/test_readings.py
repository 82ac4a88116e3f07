"""Only readings of the very files count, once for each person, and of no trainer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segpipe.review.dossier import read_key
from segpipe.review.shelf import Volume
from segpipe.review.work.readings import read_signed
from tests.support.work import (
    chain_of,
    control,
    person,
    protocol_of,
    reading_of,
    readings_of,
    shown,
    write_work,
)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    items = {
        "item1": shown(),
        "item2": shown("repeat", repeats="item1"),
        "item3": control(),
    }
    return write_work(tmp_path, items)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"masks": {"A": "0" * 64}}, "is of other files than those"),
        ({"images": {"image": "0" * 64}}, "is of other files than those"),
        ({"shown": {"A": "reference"}}, "says of its letters"),
    ],
)
def test_a_reading_counts_only_of_the_files_of_the_dossier(
    volume: Volume, changed: dict[str, Any], fault: str | None
) -> None:
    one = reading_of(volume, "item1", {}).model_copy(update=changed)
    chain = chain_of(volume.folder, [("jane", one)])
    key, protocol = read_key(volume.folder), protocol_of(volume.folder.parents[1])
    found = read_signed(volume, key, chain, protocol)

    assert len(found.items["item1"].readings) == (fault is None)
    assert [one for one in found.faults if fault and fault not in one] == []
    assert len(found.faults) == (fault is not None)


def test_readings_of_another_version_are_none_of_this(volume: Volume) -> None:
    one = reading_of(volume, "item1", {})
    other = one.subject.model_copy(update={"segmenter": "f" * 64})
    chain = chain_of(
        volume.folder, [("jane", one.model_copy(update={"subject": other}))]
    )
    key, protocol = read_key(volume.folder), protocol_of(volume.folder.parents[1])
    found = read_signed(volume, key, chain, protocol)

    assert not found.items["item1"].readings
    assert not found.faults


def test_the_first_reading_of_a_person_counts_and_no_trainers(volume: Volume) -> None:
    said = [("jane", "item1", {}), ("jane", "item1", {"candidate": 1})]
    said += [("eve", "item1", {}), ("!jane", "item1", {}), ("john", "item1", {})]
    said += [("!anna", "item1", {"candidate": 2}), ("!berta", "item1", {})]
    found = readings_of(volume, [*said, ("late", "item1", {})])

    one = found.items["item1"]
    assert [(r.reader, r.scores["candidate", "ball"]) for r in one.readings] == [
        ("jane", 4),
        ("john", 4),
    ]
    assert [r.reader for r in one.counted] == ["anna"]
    words = ["a second time", "is a trainer's", "the same person read"]
    words += ["was adjudicated before", "was adjudicated before"]
    assert len(found.faults) == 5
    assert all(a in b for a, b in zip(words, found.faults, strict=True))


@pytest.mark.parametrize(
    ("first", "second", "needed"),
    [
        ({"candidate": 4}, {"candidate": 3}, False),
        ({"candidate": 4}, {"candidate": 2}, True),
        ({"champion": 1}, {"champion": 4}, True),
        ({"candidate": None}, {"candidate": 4}, True),
        ({"candidate": None}, {"candidate": None}, False),
    ],
)
def test_readings_that_are_two_scores_apart_need_an_adjudicator(
    volume: Volume, first: dict[Any, Any], second: dict[Any, Any], needed: bool
) -> None:
    """Neither one reading alone does, nor repeats and controls."""
    said: list[Any] = [
        (name, item, scores)
        for name, scores in (("jane", first), ("john", second))
        for item in volume.items
    ]

    one = readings_of(volume, said[:3])
    assert not any(map(one.needs_adjudicator, volume.items))
    both = readings_of(volume, said)
    assert both.needs_adjudicator("item1") == needed
    assert not both.needs_adjudicator("item2")
    assert not both.needs_adjudicator("item3")
    done = readings_of(volume, [*said, ("!anna", "item1", {})])
    assert not done.needs_adjudicator("item1")


def test_what_somebody_signed_stands_after_the_key_was_revoked(volume: Volume) -> None:
    gone = replace(person("jane"), revoked=9)
    found = readings_of(volume, [("jane", "item1", {})], people=[gone])

    assert found.items["item1"].readers == {"jane"}
    assert "jane" not in found.chain.roster.active
