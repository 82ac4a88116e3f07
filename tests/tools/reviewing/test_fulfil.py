"""Only the decision that asks for it makes a version the champion, whoever calls."""

from collections.abc import Callable

import pytest

from segpipe.approval.chain.signing import append
from segpipe.approval.records import Promotion, Subject
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import find_case
from segpipe.registry.versions import find_version
from segpipe.tools.reviewing.decide import Verdict, decide
from segpipe.tools.reviewing.fulfil import fulfil
from tests.support.reviews import OTHER, password_of, write_policy
from tests.support.stores import add_packed, aliases


def approve(project: Paths, by: str = "lea", *, promote: bool = True) -> int:
    """The number of the record."""
    verdict = Verdict("approve", "I find it fit for use", "finer vessels", promote)
    return decide("liver", "1", verdict, by, password_of(by), project).number


def about(project: Paths) -> Subject:
    return find_case("liver", "1", project).subject


def test_the_version_of_a_decision_that_asks_for_it_becomes_the_champion_once(
    project: Paths,
) -> None:
    number, digest = approve(project), about(project).segmenter

    first = fulfil("liver", "1", digest, number, project)
    tags = find_version("liver", "1", project).tags
    again = fulfil("liver", "1", digest, number, project)

    assert first.promoted
    assert first == again
    assert aliases(project)["champion"] == "1"
    assert tags["promoted.why"] == f"Dr Lea in record {number}: finer vessels"
    assert find_version("liver", "1", project).tags == tags


def test_an_approval_that_does_not_ask_for_it_waits_for_a_person(
    project: Paths,
) -> None:
    number = approve(project, promote=False)

    done = fulfil("liver", "1", about(project).segmenter, number, project)

    assert not done.promoted
    assert "does not ask to promote it; `segpipe promote 1 --name liver" in done.words
    assert "champion" not in aliases(project)


def of_another_digest(project: Paths) -> tuple[str, int]:
    return OTHER, approve(project)


def of_another_record(project: Paths) -> tuple[str, int]:
    """Record 12 promotes another segmenter, 1 enrols a person."""
    approve(project)
    return about(project).segmenter, 1


def of_no_record(project: Paths) -> tuple[str, int]:
    return about(project).segmenter, 99


def of_a_rejection(project: Paths) -> tuple[str, int]:
    verdict = Verdict("reject", "It is unfit", "misses the left lobe")
    record = decide("liver", "1", verdict, "lea", password_of("lea"), project)
    return about(project).segmenter, record.number


def withdrawn(project: Paths) -> tuple[str, int]:
    number = approve(project)
    verdict = Verdict("withdraw", "It is unfit now", "new scanner")
    decide("liver", "1", verdict, "lea", password_of("lea"), project)
    return about(project).segmenter, number


def incomplete(project: Paths) -> tuple[str, int]:
    write_policy(project.root, approvals="{lead: 2}")
    return about(project).segmenter, approve(project)


def overtaken(project: Paths) -> tuple[str, int]:
    """A replayed event would bring back a champion that people replaced."""
    number = approve(project)
    add_packed(project, 2, trainers=("tom@lab",))
    other = find_case("liver", "2", project).subject
    content = Promotion(subject=other, act="promote", before="1", reason="newer")
    append(content, "lea", password_of("lea"), project.root)
    return about(project).segmenter, number


def optional(project: Paths) -> tuple[str, int]:
    """Where the policy asks for nothing, an event alone still moves nothing."""
    write_policy(project.root)
    file = project.root / "review.yaml"
    file.write_text(file.read_text().replace("require: true", "require: false"))
    return about(project).segmenter, 10


REFUSED: dict[str, tuple[Callable[[Paths], tuple[str, int]], str]] = {
    "another digest": (of_another_digest, r"as the event says of bbbbbbbbbbbb"),
    "another record": (of_another_record, "found a record of the kind enrolment"),
    "no record": (of_no_record, "found no such record"),
    "a rejection": (of_a_rejection, "found the decision reject on liver 1"),
    "withdrawn": (withdrawn, "withdrew its approval of it in record 14"),
    "incomplete": (incomplete, "1 of 2 approvals as lead"),
    "overtaken": (overtaken, r"found version 2, which Dr Lea as lead chose in record"),
    "no policy": (optional, "found the decision approve on liver 3"),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_nothing_else_moves_the_alias(project: Paths, attack: str) -> None:
    prepare, words = REFUSED[attack]
    digest, number = prepare(project)

    with pytest.raises(DataError, match=words):
        fulfil("liver", "1", digest, number, project)

    assert "champion" not in aliases(project)
