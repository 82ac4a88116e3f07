"""The review is started where it can be, and otherwise it is said how to get it."""

from pathlib import Path

import pytest

from flows.services.review import address_for_readers, describe_lack
from segpipe.approval.protocol import write_protocol
from segpipe.tools.reviewing import extra


def test_without_review_yaml_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    assert "`segpipe review init` writes review.yaml" in str(describe_lack(tmp_path))

    write_protocol(tmp_path)
    assert describe_lack(tmp_path) is None


def test_without_the_extra_it_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_protocol(tmp_path)
    monkeypatch.setitem(extra.PACKAGES, "argon3", "argon3")

    lack = str(describe_lack(tmp_path))

    assert lack.startswith("not started: the review needs argon3")
    assert "`pip install 'segpipe[review]'`" in lack


def test_readers_are_sent_to_the_address_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGPIPE_REVIEW_URL", "")
    assert address_for_readers() == "http://127.0.0.1:8010"

    monkeypatch.setenv("SEGPIPE_REVIEW_URL", "https://review.example.org/")
    assert address_for_readers() == "https://review.example.org"
