"""At each door a version is approved, or the words say what is missing."""

from pathlib import Path

import pytest

from segpipe.approval.chain.folder import record_path
from segpipe.approval.protocol import protocol_file, write_protocol
from segpipe.approval.use import (
    is_required,
    is_trial,
    open_court,
    require_approved,
    trial,
)
from segpipe.project.errors import DataError
from tests.support.reviews import OTHER, decision, signed, subject

URI = "models:/liver@champion"


def test_an_approval_is_asked_for_by_the_version_or_the_project(tmp_path: Path) -> None:
    assert not is_required(tmp_path, sealed=False)
    assert is_required(tmp_path, sealed=True)
    path = write_protocol(tmp_path)
    assert not is_required(tmp_path, sealed=False)
    path.write_text(path.read_text().replace("require: false", "require: true"))
    assert is_required(tmp_path, sealed=False)


def test_the_champion_of_the_records_may_be_used(root: Path) -> None:
    for alias in ("champion", "", "candidate"):
        approval = require_approved(URI, subject(), root, (), alias=alias)
        assert approval.approved


def test_an_approved_version_that_is_not_the_champion_may_be_named(root: Path) -> None:
    about = subject(OTHER, "4")
    signed(decision(about), "lea", root)

    assert require_approved("models:/liver/4", about, root, (), alias="").approved
    words = (
        r"the champion that the records name, version 3, by Dr Lea as lead in record "
        r"12, found the alias on version 4.* it was moved without a record"
    )
    with pytest.raises(DataError, match=words):
        require_approved(URI, about, root, (), alias="champion")


def test_a_champion_whose_successor_is_signed_waits_for_the_alias(root: Path) -> None:
    about = subject(OTHER, "4")
    signed(decision(about, promote=True), "lea", root)

    words = (
        r"names?, version 4, by Dr Lea as lead in record 13, found the alias on "
        r"version 3.* has not followed that record yet, or was moved back without one; "
        r"`segpipe promote 4` moves it"
    )
    with pytest.raises(DataError, match=words):
        require_approved(URI, subject(), root, (), alias="champion")


def test_without_records_nothing_is_approved(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="set SEGPIPE_REVIEWS to the folder reviews"):
        open_court(tmp_path)
    for number in range(1, 13):
        record_path(root, number).unlink()
    with pytest.raises(DataError, match="no record decides about the segmenter"):
        require_approved(URI, subject(), root, (), alias="")


def test_the_records_of_another_project_count_where_they_are_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGPIPE_REVIEWS", str(root / "reviews"))

    assert open_court(tmp_path).is_champion(subject())
    assert protocol_file(root).is_file()


def test_a_trial_ends_with_its_block() -> None:
    with trial():
        assert is_trial()
    assert not is_trial()
