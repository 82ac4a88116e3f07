"""A decision stands without Prefect, and says what is left to do."""

import pytest

from segpipe.approval.chain.verification import verify
from segpipe.project.paths import Paths
from segpipe.tools.reviewing.decide import Verdict, decide
from tests.support.reviews import password_of, write_policy
from tests.support.servers import free_port


def approve(project: Paths, *, promote: bool = True) -> list[str]:
    """What is said of what comes next."""
    verdict = Verdict("approve", "I find it fit for use", "good", promote)
    said: list[str] = []
    decide(
        *("liver", "1", verdict, "lea", password_of("lea"), project), tell=said.append
    )
    return said


def test_without_prefect_a_person_promotes(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    (said,) = approve(project)

    assert "PREFECT_API_URL is not set: `segpipe promote 1 --name liver --why" in said


def test_a_prefect_that_does_not_answer_stops_no_decision(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")

    (said,) = approve(project)

    assert "PREFECT_API_URL does not answer as Prefect does (ConnectError): `" in said
    assert "`segpipe promote 1 --name liver --why REASON` makes it" in said
    assert len(verify(project.root).records) == 13


def test_an_approval_that_is_not_complete_is_not_announced(project: Paths) -> None:
    write_policy(project.root, approvals="{lead: 2}")

    (said,) = approve(project)

    assert said.startswith("liver 1 waits: it has 1 of 2 approvals as lead")
