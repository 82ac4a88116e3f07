"""Promotion: which version is the champion, why, and how far a review is."""

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
    find_alias,
    find_version,
    list_versions,
    say_versions,
)


def promote(name: str, version: str, why: str, paths: Paths) -> Version:
    """Make a version the champion; the champion before it is then the previous one.

    The tags come first and the champion in one step, so that at every moment there is
    the old champion or the new one, with its reason. Called again after it was killed,
    it completes what is missing.

    Raises:
        DataError: If there is no reason or no such version, or no registry.
    """
    _require(why)
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
    """Make the previous version the champion again, and the champion the previous one.

    Raises:
        DataError: If there is no reason or no previous version, or no registry.
    """
    _require(why)
    champion = find_alias(name, CHAMPION, paths)
    previous = find_alias(name, PREVIOUS, paths)
    if champion is None or previous is None:
        found = say_versions(list_versions(name, paths))
        raise DataError(
            f"{name}: expected a champion and a previous version to go back to, found "
            f"{found}; `segpipe promote` chooses a version"
        )
    with reachable(paths) as (client, _):
        if champion.version == previous.version:
            # A promotion or rollback was killed half-way: this ends it, the champion
            # stays.
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
    """Say how far the review of a version is; who said it stands nowhere in MLflow.

    Raises:
        DataError: If there is no such version, or no registry.
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
    """Why and when a version was promoted or rolled back, and from or to which."""
    side = "from" if act == "promoted" else "to"
    tags = {f"{act}.why": why, f"{act}.at": _now(), f"{act}.{side}": other}
    for tag, text in tags.items():
        client.set_model_version_tag(version.name, version.version, tag, text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require(why: str) -> None:
    if not why.strip():
        raise DataError(
            "--why: expected the reason, found nothing; it stays with the version"
        )
