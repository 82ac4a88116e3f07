"""A record shows who signed what, when and what it means, and if it is believed."""

from pathlib import Path

import pytest

from segpipe.approval.chain.folder import record_path
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.tools.reviewing.show import show
from tests.support.reviews import decision, document, put, signed


def test_a_decision_is_shown_with_name_time_and_meaning(project: Paths) -> None:
    """21 CFR 11.50(a)."""
    lines = "\n".join(show(10, project.root))

    assert "record 10 of 12" in lines
    assert "Dr Lea" in lines
    assert document(project.root, 10)["time"] in lines
    assert "I have reviewed it and find it fit for use" in lines
    assert lines.endswith("signature right, the chain is whole")


def test_words_of_a_person_do_not_move_the_cursor(project: Paths) -> None:
    record = signed(
        decision(reason="good\x1b[2J\nsignature right"), "lea", project.root
    )

    shown = show(record.number, project.root)

    assert "good\\u001b[2J\\nsignature right" in "\n".join(shown)
    assert not [line for line in shown if "\x1b" in line or "\n" in line]


def test_what_is_not_believed_is_said(project: Paths) -> None:
    put(project.root, 10, document(project.root, 10) | {"role": "reader"})

    assert "NOT BELIEVED" in show(10, project.root)[-2]
    assert "is not what lea signed" in "\n".join(show(10, project.root))
    assert "but the chain is broken" in show(3, project.root)[-1]
    with pytest.raises(DataError, match="found none; the records are 1 to 12"):
        show(13, project.root)


def test_a_record_that_is_no_object_is_shown_as_broken(project: Paths) -> None:
    path: Path = record_path(project.root, 12)
    path.write_bytes(b"[]\n")

    assert "NOT BELIEVED" in show(12, project.root)[-1]
