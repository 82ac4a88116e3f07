"""A decision holds all that it rests on, and MLflow repeats it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from segpipe.approval.chain.verification import verify
from segpipe.approval.records import Decision, Record
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import find_case
from segpipe.registry.versions import find_version
from segpipe.tools.reviewing.decide import Verdict, decide
from tests.support.reviews import password_of, reading, signed, write_policy


def act(
    project: Paths,
    by: str = "lea",
    what: str = "approve",
    reason: str = "good",
    shown: Sequence[int] | None = None,
) -> Record:
    verdict = Verdict(what, "I find it fit for use", reason)  # type: ignore[arg-type]
    return decide("liver", "1", verdict, by, password_of(by), project, shown=shown)


def test_a_decision_rests_on_the_readings_of_its_version(project: Paths) -> None:
    """Readings 6 to 9 are of another digest."""
    subject = find_case("liver", "1", project).subject
    for name in ("rob", "lea"):
        signed(reading("c9", subject), name, project.root)

    with pytest.raises(DataError, match=r"look again\. Nothing was signed"):
        act(project, shown=[13])  # 14 came after the page
    record = act(project, shown=[13, 14])

    content = record.content
    assert isinstance(content, Decision)
    assert content.subject == subject
    assert content.readings == (13, 14)
    assert content.cases == ("c9",)
    assert content.ratings == {"4": 2}  # of the candidate, B, and not of A
    assert content.seconds == 63
    assert len(content.masks) == 2
    assert content.expires is not None
    assert content.expires - record.time <= timedelta(days=365, seconds=5)
    tags = find_version("liver", "1", project).tags
    assert tags["review.status"] == "approved"
    assert tags["review.note"] == "record 15 by Dr Lea: good"
    head = verify(project.root).head
    assert head is not None
    assert tags["review.head"] == head.text


@pytest.mark.parametrize(
    ("what", "status"), [("reject", "rejected"), ("withdraw", "withdrawn")]
)
def test_a_rejection_has_no_end(project: Paths, what: str, status: str) -> None:
    record = act(project, what=what)

    assert isinstance(record.content, Decision)
    assert record.content.expires is None
    assert find_version("liver", "1", project).tags["review.status"] == status


def test_a_version_of_which_an_approval_is_missing_stays_pending(
    project: Paths,
) -> None:
    write_policy(project.root, approvals="{lead: 2}")

    act(project)

    assert find_version("liver", "1", project).tags["review.status"] == "pending"


def test_a_version_below_the_gates_is_not_made_the_champion(project: Paths) -> None:
    """Else the records would name a champion, and promote would refuse to move to it:
    neither the old nor the new one could be used."""
    write_policy(project.root, gates="{test/dice: 1.01}")
    verdict = Verdict("approve", "I find it fit for use", "good", promote=True)
    with pytest.raises(DataError, match=r"test/dice is .* below the 1.01 of policy"):
        decide("liver", "1", verdict, "lea", password_of("lea"), project)
    assert len(verify(project.root).records) == 12

    act(project)  # it may be approved, and is promoted when it passes


def test_a_trainer_rejects_but_does_not_approve(project: Paths) -> None:
    """Dr Max is known as tom@lab, whom the provenance names."""
    with pytest.raises(DataError, match=r"did not train it, found that Dr Max did"):
        act(project, by="max")
    assert len(verify(project.root).records) == 12

    act(project, by="max", what="reject")


@pytest.mark.parametrize("reason", ["", " "])
def test_nothing_is_signed_without_a_reason(project: Paths, reason: str) -> None:
    with pytest.raises(DataError, match="--reason: expected words"):
        act(project, reason=reason)
