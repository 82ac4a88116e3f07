"""invitation: tell readers that the review of a version waits for them.

Nothing in it names a case or a patient: other people's servers keep what they are told.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.services.review import address_for_readers
from segpipe.approval.protocol import read_protocol
from segpipe.project.errors import DataError
from segpipe.project.origin.study import project_name
from segpipe.project.params import read_section
from segpipe.project.paths import Paths
from segpipe.registry.store import SEGMENTER
from segpipe.registry.versions import (
    ASKED,
    CANDIDATE,
    PENDING,
    REVIEW,
    Version,
    note_asked,
)
from segpipe.review.build import build
from segpipe.review.dossier import dossier_folder, read_dossier
from segpipe.segmenter.compute import ComputeParams, build_compute
from segpipe.segmenter.spec import SCHEME
from segpipe.tools.reviewing.extra import require_extra

PATIENCE_S = 10.0  # for each step of a request
LONGEST_S = 20.0  # for all of it
EVENT = "segpipe.review.asked"


@dataclass(frozen=True)
class Invitation:
    """A review that waits.

    Attributes:
        project: Name of the project.
        name: Name of the registered model.
        version: Number of the version.
        items: How many items its dossier has.
        link: Where readers find it.
    """

    project: str
    name: str
    version: str
    items: int
    link: str

    @property
    def text(self) -> str:
        """The invitation in a sentence."""
        return (
            f"{self.name} version {self.version} waits for its review: {self.items} "
            f"items, at {self.link}"
        )

    def message(self) -> dict[str, str | int]:
        """What the webhook is sent; chat programs show the value of ``text``."""
        return {
            "event": EVENT,
            "project": self.project,
            "name": self.name,
            "version": self.version,
            "items": self.items,
            "link": self.link,
            "text": self.text,
        }


@task(task_run_name="review", cache_policy=NO_CACHE)
def ask_readers(root: str, version: Version) -> str:
    """Build the review of a candidate, give it to readers and tell them, once.

    A run that was killed before the readers were told is completed by the next one.

    Returns:
        What the run's page says of it; "" where there is no review.yaml, or the version
        is no candidate that waits for a review.

    Raises:
        DataError: If the review cannot be built.
    """
    paths = Paths(Path(root))
    protocol = read_protocol(paths.root)
    waits = CANDIDATE in version.aliases and version.tags.get(REVIEW) == PENDING
    if protocol is None or not waits:
        return ""
    binds = " No version is promoted without it." if protocol.policy.require else ""
    if ASKED not in version.tags:
        folder = build_review(version, paths)
        try:
            given = assign_by_protocol(folder, paths)
        except DataError as error:
            get_run_logger().warning("review: nobody was given %s: %s", folder, error)
            return f" Its review is built, and nobody was given it: {error}{binds}"
        tell_readers(invite(version, folder, paths), given, protocol.webhook)
        note_asked(version, paths)
    return f" It waits for its [review]({address_for_readers()}).{binds}"


def build_review(version: Version, paths: Paths) -> Path:
    """The folder of a version's dossier, which is built unless it is there.

    Raises:
        DataError: If it cannot be built, or is that of another segmenter.
    """
    folder = dossier_folder(paths, version.name, version.version)
    if not folder.is_dir():
        require_extra()
        compute = build_compute(read_section(paths.params, "compute", ComputeParams))
        build(f"{SCHEME}{version.name}/{version.version}", compute=compute, paths=paths)
    expected, found = version.tags[SEGMENTER], read_dossier(folder).segmenter
    if found != expected:
        raise DataError(
            f"{folder}: expected the review of the segmenter {expected[:12]}, found "
            f"that of {found[:12]}, a version of another registry; move it away"
        )
    return folder


def assign_by_protocol(folder: Path, paths: Paths) -> list[str]:
    """Give the items of a dossier to readers by review.yaml; what they have stays.

    Returns:
        A line for each reader.

    Raises:
        DataError: If there are too few readers.
    """
    from segpipe.approval.use import open_court
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.shelf import open_volume
    from segpipe.review.work.assignment import assign_readers

    require_extra()
    volume, court = open_volume(folder), open_court(paths.root)
    return assign_readers(volume, [], court, open_database(address_of(paths)))


def invite(version: Version, folder: Path, paths: Paths) -> Invitation:
    """What readers are told of a version whose dossier is in a folder."""
    return Invitation(
        project=project_name(paths.root),
        name=version.name,
        version=version.version,
        items=len(read_dossier(folder).items),
        link=address_for_readers(),
    )


def tell_readers(invitation: Invitation, given: list[str], webhook: str | None) -> None:
    """Show an invitation on the page of the run, and send it to the webhook if any.

    Args:
        invitation: What readers are told.
        given: Who was given what, in lines.
        webhook: The address of review.yaml; its failure is a warning.
    """
    lines = "\n".join(f"- {line}" for line in given)
    create_markdown_artifact(
        f"{invitation.text}\n\n[Open the review]({invitation.link})\n\n{lines}",
        key="review",
        description="The review that waits for readers",
    )
    if webhook is not None and (fault := call_webhook(webhook, invitation)):
        get_run_logger().warning("the webhook of review.yaml: %s", fault)


def call_webhook(url: str, invitation: Invitation) -> str | None:
    """Send an invitation as JSON, by POST; redirections are not followed.

    Args:
        url: An address of the scheme http or https; it may hold a secret, and is
            repeated nowhere.
        invitation: What is sent.

    Returns:
        Why it was not taken; None if it was.
    """
    try:
        status = asyncio.run(_post(url, invitation))
    except TimeoutError:
        return f"it did not answer within {LONGEST_S:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it could not be reached ({type(error).__name__})"
    return None if 200 <= status < 300 else f"it answered with {status}"


async def _post(url: str, invitation: Invitation) -> int:
    """The status of the answer, whose content is not read."""
    if httpx.URL(url).scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol("expected http or https")
    body = invitation.message()
    async with asyncio.timeout(LONGEST_S), httpx.AsyncClient() as client:
        request = client.stream("POST", url, json=body, timeout=PATIENCE_S)
        async with request as answer:
            return int(answer.status_code)
