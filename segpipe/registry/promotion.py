"""Promotion: move the alias champion, with the reason, and set a review's status."""

import getpass
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psutil
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.approved import (
    HEAD,
    Act,
    Warrant,
    needs_signature,
    sign_promotion,
)
from segpipe.registry.register import check_evidence
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
    write_standings,
)

log = logging.getLogger(__name__)
TURN = "segpipe.turn/"  # tag of a registered model while a process moves its aliases
PATIENCE_S = 20.0
STALE_S = 300.0  # a turn takes seconds; every request of it ends within ten


def promote(
    name: str, version: str, why: str, paths: Paths, warrant: Warrant | None = None
) -> Version:
    """Make a version the champion; the champion until now becomes the previous one.

    Steps, in its turn: sign it, where the policy of review.yaml asks for that; tag the
    version with the reason; move ``previous`` to the champion; move ``champion`` to the
    version; take ``candidate`` off it. At every moment either the old champion or the
    new one, with its reason, is in place. A second call completes what a killed one
    left undone.

    Raises:
        DataError: If the reason is empty, there is no such version, its files or tags
            were changed since it was registered, the policy does not allow it, the
            champion was changed meanwhile, or the registry cannot be reached.
    """
    _require_reason(why)
    champion = find_alias(name, CHAMPION, paths)
    check_evidence(find_version(name, version, paths), paths)
    with reachable(paths) as (client, _), _turn(client, name):
        _require_unmoved(name, champion, paths)
        found = find_version(name, version, paths)
        act = Act("promote", why, champion.version if champion else None)
        _sign(client, found, act, warrant, paths)
        if champion is None or champion.version != version:
            before = champion.version if champion else ""
            _tag(client, found, "promoted", why, before)
            if champion is not None:
                client.set_registered_model_alias(name, PREVIOUS, before)
            client.set_registered_model_alias(name, CHAMPION, version)
        if CANDIDATE in found.aliases:
            client.delete_registered_model_alias(name, CANDIDATE)
        write_standings(name, paths)
    return find_version(name, version, paths)


def rollback(
    name: str, why: str, paths: Paths, warrant: Warrant | None = None
) -> Version:
    """Swap the champion and the previous version.

    Steps, in its turn: sign it, where the policy of review.yaml asks for that; tag the
    champion and the previous version with the reason; move ``champion``; move
    ``previous``. The same reason again is the same rollback: a call that is repeated
    because it was killed does not bring the bad champion back.

    Raises:
        DataError: If the reason is empty, there is no previous version, the policy
            does not allow it, the champion was changed meanwhile, or the registry
            cannot be reached.
    """
    _require_reason(why)
    expected, _ = _find_pair(name, paths)
    with reachable(paths) as (client, _), _turn(client, name):
        _require_unmoved(name, expected, paths)
        champion, previous = _find_pair(name, paths)
        if _is_done(champion, previous, why):
            log.warning(
                "%s: version %s is the champion already since a rollback with this "
                "reason; give another reason to go back once more",
                name,
                champion.version,
            )
            return champion
        act = Act("rollback", why, champion.version)
        _sign(client, previous, act, warrant, paths)
        if champion.version == previous.version:
            # A promotion or rollback was killed half-way: complete it, keep the
            # champion.
            before = champion.tags.get("promoted.from")
            if not (
                before and _is_swap(champion, find_version(name, before, paths), why)
            ):
                client.set_model_version_tag(
                    name, champion.version, "restored.why", why
                )
        else:
            before = champion.version
            _tag(client, champion, "rolled_back", why, previous.version)
            _tag(client, previous, "promoted", why, before)
            client.set_registered_model_alias(name, CHAMPION, previous.version)
        if before:
            client.set_registered_model_alias(name, PREVIOUS, before)
        else:
            client.delete_registered_model_alias(name, PREVIOUS)
        write_standings(name, paths)
    return find_version(name, previous.version, paths)


def _sign(
    client: MlflowClient,
    version: Version,
    act: Act,
    warrant: Warrant | None,
    paths: Paths,
) -> None:
    """Sign the promotion of a version, and tag it with the head of the chain.

    Without a policy, nothing is signed.
    """
    name, number = version.name, version.version
    if not needs_signature(name, number, version.tags, paths):
        if warrant is not None and warrant.emergency:
            raise DataError(
                f"{name} {number}: expected a policy that asks for approvals, found "
                "none in review.yaml; promote it without --emergency"
            )
        return
    head = sign_promotion(name, number, act, warrant, paths)
    if version.tags.get(HEAD) != head:
        client.set_model_version_tag(name, number, HEAD, head)


def _find_pair(name: str, paths: Paths) -> tuple[Version, Version]:
    """The champion and the previous version.

    Raises:
        DataError: If one of them is missing.
    """
    versions = list_versions(name, paths)
    found = {alias: one for one in versions for alias in one.aliases}
    if CHAMPION not in found or PREVIOUS not in found:
        raise DataError(
            f"{name}: expected a champion and a previous version to go back to, found "
            f"{describe_versions(versions)}; `segpipe promote` chooses a version"
        )
    return found[CHAMPION], found[PREVIOUS]


def _is_done(champion: Version, previous: Version, why: str) -> bool:
    """Whether the rollback with this reason was the last change of the champion."""
    if champion.version == previous.version:
        return False
    restored = champion.tags.get("restored.why") == why
    return restored or _is_swap(champion, previous, why)


def _is_swap(champion: Version, other: Version, why: str) -> bool:
    """Whether the rollback with this reason is what made the champion of the other."""
    return (
        champion.tags.get("promoted.why") == why
        and champion.tags.get("promoted.from") == other.version
        and other.tags.get("rolled_back.why") == why
        and other.tags.get("rolled_back.to") == champion.version
    )


@contextmanager
def _turn(client: MlflowClient, name: str) -> Iterator[None]:
    """Exclude others who change the aliases of a registered model, on any machine.

    MLflow cannot write an alias on a condition. Each process sets a tag of its own and
    then looks for others' tags: of two, at least one sees the other, and withdraws.

    Raises:
        DataError: If others do not end within PATIENCE_S.
    """
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    mine = f"{TURN}{host}/{os.getpid()}/{secrets.token_hex(4)}"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        client.set_registered_model_tag(name, mine, str(time.time()))
        tags = client.get_registered_model(name).tags
        others = {tag: at for tag, at in tags.items() if tag.startswith(TURN)}
        others.pop(mine, None)
        for tag in [tag for tag, at in others.items() if _is_left(tag, at, host)]:
            with suppress(MlflowException):  # another process was faster
                client.delete_registered_model_tag(name, tag)
            del others[tag]
        if not others:
            break
        client.delete_registered_model_tag(name, mine)
        if time.monotonic() > deadline:
            raise DataError(
                f"{name}: expected no other promotion at work, found one; look with "
                "`segpipe models` what it did, and repeat: one that was killed on "
                f"another machine counts no longer after {STALE_S / 60:g} minutes"
            )
        time.sleep(secrets.randbelow(1000) / 1000)
    try:
        yield
    finally:
        client.delete_registered_model_tag(name, mine)


def _is_left(tag: str, at: str, host: str) -> bool:
    """Whether the process of a turn was killed, or has had time enough."""
    other, pid, _ = tag.removeprefix(TURN).split("/")
    if other == host and not psutil.pid_exists(int(pid)):
        return True
    return time.time() - float(at) > STALE_S


def _require_unmoved(name: str, champion: Version | None, paths: Paths) -> None:
    """Refuse to act on a champion that is not the one that the decision was about."""
    expected, now = (
        one.version if one else "none"
        for one in (champion, find_alias(name, CHAMPION, paths))
    )
    if now != expected:
        raise DataError(
            f"{name}: expected version {expected} to be the champion as before, found "
            f"{now}, which another promotion chose meanwhile; look at both with "
            "`segpipe models`, and repeat"
        )


def review(
    name: str,
    version: str,
    status: str,
    note: str,
    paths: Paths,
    *,
    head: str | None = None,
) -> Version:
    """Set the status of a version's review; MLflow does not keep who set it.

    Where the status repeats a signed record, ``head`` is the head of the chain.

    Raises:
        DataError: If there is no such version, or the registry cannot be reached.
    """
    find_version(name, version, paths)
    with reachable(paths) as (client, _):
        tags = {REVIEW: status, "review.note": note, "review.at": _now()}
        tags |= {HEAD: head} if head is not None else {}
        for tag, text in tags.items():
            client.set_model_version_tag(name, version, tag, text)
        write_standings(name, paths)
    return find_version(name, version, paths)


def _tag(
    client: MlflowClient, version: Version, act: str, why: str, other: str
) -> None:
    """Tag a version with why, when, and from or to which version the alias moved."""
    side = "from" if act == "promoted" else "to"
    tags = {f"{act}.why": why, f"{act}.at": _now(), f"{act}.{side}": other}
    tags[f"{act}.by"] = _who()
    if "restored.why" in version.tags:  # it says something of an earlier promotion
        client.delete_model_version_tag(version.name, version.version, "restored.why")
    for tag, text in tags.items():
        client.set_model_version_tag(version.name, version.version, tag, text)


def _who() -> str:
    """The user and machine of this process, as they call themselves."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name belongs to the number of the user
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require_reason(why: str) -> None:
    if not why.strip():
        raise DataError(
            "--why: expected the reason, found nothing; it is kept with the version"
        )
