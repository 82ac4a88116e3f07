"""Promotion: move the alias champion, with the reason, and set a review's status."""

from datetime import UTC, datetime

from mlflow import MlflowClient

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import reachable
from segpipe.registry.versions import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    REVIEW,
    Version,
    describe_versions,
    find_alias,
    find_version,
    list_versions,
)


def promote(name: str, version: str, why: str, paths: Paths) -> Version:
    """Make a version the champion; the champion until now becomes the previous one.

    The tags are set first and the alias in one step, so that at every moment either the
    old champion or the new one, with its reason, is in place. A second call completes
    what a killed one left undone.

    Raises:
        DataError: If the reason is empty, there is no such version, or the registry
            cannot be reached.
    """
    _require_reason(why)
    found = find_version(name, version, paths)
    champion = find_alias(name, CHAMPION, paths)
    with reachable(paths) as (client, _):
        if champion is None or champion.version != version:
            before = champion.version if champion else ""
            _tag(client, found, "promoted", why, before)
            if champion is not None:
                client.set_registered_model_alias(name, PREVIOUS, before)
            client.set_registered_model_alias(name, CHAMPION, version)
        if CANDIDATE in found.aliases:
            client.delete_registered_model_alias(name, CANDIDATE)
    return find_version(name, version, paths)


def rollback(name: str, why: str, paths: Paths) -> Version:
    """Swap the champion and the previous version.

    Raises:
        DataError: If the reason is empty, there is no previous version, or the registry
            cannot be reached.
    """
    _require_reason(why)
    champion = find_alias(name, CHAMPION, paths)
    previous = find_alias(name, PREVIOUS, paths)
    if champion is None or previous is None:
        found = describe_versions(list_versions(name, paths))
        raise DataError(
            f"{name}: expected a champion and a previous version to go back to, found "
            f"{found}; `segpipe promote` chooses a version"
        )
    with reachable(paths) as (client, _):
        if champion.version == previous.version:
            # A promotion or rollback was killed half-way: complete it, keep the
            # champion.
            before = champion.tags.get("promoted.from")
        else:
            before = champion.version
            _tag(client, champion, "rolled_back", why, previous.version)
            _tag(client, previous, "promoted", why, before)
            client.set_registered_model_alias(name, CHAMPION, previous.version)
        if before:
            client.set_registered_model_alias(name, PREVIOUS, before)
        else:
            client.delete_registered_model_alias(name, PREVIOUS)
    return find_version(name, previous.version, paths)


def review(name: str, version: str, status: str, note: str, paths: Paths) -> Version:
    """Set the status of a version's review; MLflow does not keep who set it.

    Raises:
        DataError: If there is no such version, or the registry cannot be reached.
    """
    find_version(name, version, paths)
    with reachable(paths) as (client, _):
        tags = {REVIEW: status, "review.note": note, "review.at": _now()}
        for tag, text in tags.items():
            client.set_model_version_tag(name, version, tag, text)
    return find_version(name, version, paths)


def _tag(
    client: MlflowClient, version: Version, act: str, why: str, other: str
) -> None:
    """Tag a version with why, when, and from or to which version the alias moved."""
    side = "from" if act == "promoted" else "to"
    tags = {f"{act}.why": why, f"{act}.at": _now(), f"{act}.{side}": other}
    for tag, text in tags.items():
        client.set_model_version_tag(version.name, version.version, tag, text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require_reason(why: str) -> None:
    if not why.strip():
        raise DataError(
            "--why: expected the reason, found nothing; it is kept with the version"
        )
