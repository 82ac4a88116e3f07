"""announce: tell Prefect that an approval is complete, and a person what comes next.

The event is sent to the server's own interface, as any program may: importing Prefect
takes seconds, and its ``emit_event`` does not say whether the event arrived.
"""

import os
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from segpipe.approval.records import Decision
from segpipe.project.origin.study import project_name
from segpipe.project.paths import Paths

APPROVED = "segpipe.review.approved"  # what the deployment promote waits for
ADDRESS, LOGIN = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
PATIENCE_S = 10.0
CLIENT = "segpipe-review"  # by this name Prefect knows the CSRF token
WITHOUT_CSRF = 422  # the answer of a server that asks for no token


def announce(decision: Decision, number: int, paths: Paths) -> str:
    """Send the event of a complete approval, from which the flow promote starts.

    Prefect is not needed: the decision stands, whether the server knows it or not.

    Args:
        decision: The approval that completed what the policy asks for.
        number: Number of its record.
        paths: The project's folders.

    Returns:
        A sentence that says what comes next.
    """
    fault = _send(build_event(decision, number, project_name(paths.root)))
    about = decision.subject
    command = f"segpipe promote {about.version} --name {about.name}"
    approved = f"{about.name} {about.version} is approved"
    if not decision.promote:
        return f"{approved}; `{command} --as NAME --why REASON` makes it the champion"
    if fault is None:
        return (
            f"{approved}, and Prefect was told: its flow promote makes it the "
            f"champion; without a worker, `{command} --why REASON` does"
        )
    return (
        f"{approved}; Prefect was not told, since {fault}: `{command} --why REASON` "
        "makes it the champion"
    )


def build_event(decision: Decision, number: int, project: str) -> dict[str, object]:
    """The event of a complete approval; it names no case, reader or patient.

    Args:
        decision: The approval.
        number: Number of its record.
        project: Name of the project, whose own deployment is started.
    """
    about = decision.subject
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": APPROVED,
        "resource": {"prefect.resource.id": f"segpipe.project.{project}"},
        "payload": {
            "name": about.name,
            "version": about.version,
            "digest": about.segmenter,
            "record": number,
        },
    }


def _send(event: dict[str, object]) -> str | None:
    """Send an event to the server at PREFECT_API_URL; the reason if that failed."""
    api = os.environ.get(ADDRESS, "").rstrip("/")
    if not api:
        return f"{ADDRESS} is not set"
    user, _, password = os.environ.get(LOGIN, "").partition(":")
    login = httpx.BasicAuth(user, password) if user else None
    try:
        with httpx.Client(auth=login, timeout=PATIENCE_S) as client:
            asked = client.get(f"{api}/csrf-token", params={"client": CLIENT})
            headers = {}
            if asked.status_code != WITHOUT_CSRF:
                token = str(asked.raise_for_status().json()["token"])
                headers = {"Prefect-Csrf-Client": CLIENT, "Prefect-Csrf-Token": token}
            answer = client.post(f"{api}/events", json=[event], headers=headers)
            answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        return f"{ADDRESS} answers with {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        return f"{ADDRESS} does not answer as Prefect does ({type(error).__name__})"
    return None
