"""Versions: the registered segmenters, found by name, alias, number or digest."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.description import describe_standing, with_standing
from segpipe.registry.store import SEGMENTER, all_pages, reachable

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
REVIEW = "review.status"
PENDING = "pending"
ASKED = "review.asked"  # tag of a version: when its readers were told, in UTC


@dataclass(frozen=True)
class Version:
    """A version of a registered segmenter, as the registry describes it.

    Attributes:
        name: Name of the registered model.
        version: Number of the version.
        aliases: Aliases that point to it, sorted.
        tags: All of its tags.
        created: Time of its registration, in UTC.
        run: Id of the MLflow run that it came from, if the registry knows it.
        description: Its description, in Markdown; "" without one.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    created: datetime
    run: str | None
    description: str = ""


def note_asked(version: Version, paths: Paths) -> None:
    """Tag a version with the time at which its readers were told of the review.

    Raises:
        DataError: If the registry cannot be reached.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with reachable(paths) as (client, _):
        client.set_model_version_tag(version.name, version.version, ASKED, now)


def list_versions(name: str | None, paths: Paths) -> list[Version]:
    """All versions of a name, or of all names, sorted by name, the newest first.

    Raises:
        DataError: If the registry cannot be reached.
    """
    with reachable(paths) as (client, _):
        models = all_pages(client.search_registered_models)
        aliases = {model.name: dict(model.aliases) for model in models}
        found = all_pages(client.search_model_versions)
    versions = [
        _describe(one, aliases.get(one.name, {}))
        for one in found
        if name is None or one.name == name
    ]
    return sorted(versions, key=lambda one: (one.name, -int(one.version)))


def find_alias(name: str, alias: str, paths: Paths) -> Version | None:
    """Find the version that an alias points to, if there is one.

    Raises:
        DataError: If the registry cannot be reached.
    """
    versions = list_versions(name, paths)
    return next((one for one in versions if alias in one.aliases), None)


def find_segmenter(name: str, digest: str, paths: Paths) -> Version | None:
    """Find the first version of a name whose segmenter has a digest, if there is one.

    Raises:
        DataError: If the registry cannot be reached.
    """
    found = [
        one for one in list_versions(name, paths) if one.tags.get(SEGMENTER) == digest
    ]
    return found[-1] if found else None


def find_version(name: str, version: str, paths: Paths) -> Version:
    """Find the version with a number.

    Raises:
        DataError: If there is no such version, or the registry cannot be reached.
    """
    versions = list_versions(name, paths)
    for one in versions:
        if one.version == version:
            return one
    raise DataError(
        f"{name}: expected a version {version}, found {describe_versions(versions)}; "
        "`segpipe models` lists all names, `segpipe register MODEL` adds a version"
    )


def describe_versions(versions: list[Version]) -> str:
    """Versions with their aliases in one line, for an error message."""
    words = [
        " ".join([one.version, *(f"@{a}" for a in one.aliases)]) for one in versions
    ]
    return ", ".join(words) or "no version"


def create_version(
    name: str,
    model: str,
    run: str,
    tags: dict[str, str],
    paths: Paths,
    *,
    description: str = "",
) -> Version:
    """Register a logged model, complete with its tags, as the candidate.

    If two processes register the same segmenter at the same time, the one whose version
    has the higher number deletes it and returns the other.

    Raises:
        DataError: If the registry cannot be reached.
    """
    with reachable(paths) as (client, _):
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Not models:/ID: MLflow looks that up in the store of the working directory.
        source = client.get_logged_model(model).artifact_location
        made = client.create_model_version(
            name,
            source,
            run,
            tags=tags,
            model_id=model,
            description=description,
            await_creation_for=10,
        )
        first = find_segmenter(name, tags[SEGMENTER], paths)
        if first is not None and first.version != str(made.version):
            client.delete_model_version(name, str(made.version))
            return first
        client.set_registered_model_alias(name, CANDIDATE, str(made.version))
        write_standings(name, paths)
    return find_version(name, str(made.version), paths)


def write_standings(name: str, paths: Paths) -> None:
    """Bring the last part of the descriptions up to date: aliases, who, when and why.

    What a person wrote before that part stays. Descriptions that are right already are
    not written again.

    Raises:
        DataError: If the registry cannot be reached.
    """
    versions = list_versions(name, paths)
    with reachable(paths) as (client, _):
        for one in versions:
            standing = describe_standing(one.aliases, one.tags)
            text = with_standing(one.description, standing)
            if text != one.description:
                client.update_model_version(name, one.version, description=text)
        page = f"#/models/{name}/versions"
        lines = [
            f"- {alias}: [version {one.version}]({page}/{one.version})"
            for alias in (CHAMPION, CANDIDATE, PREVIOUS)
            for one in versions
            if alias in one.aliases
        ]
        before = client.get_registered_model(name).description or ""
        text = with_standing(before, "\n".join(lines) or "- no version has an alias")
        if text != before:
            client.update_registered_model(name, description=text)


def complete(version: Version, paths: Paths) -> Version:
    """Make a version the candidate if its registration was killed before that step.

    A version that has an alias, was promoted or was reviewed gets none. Descriptions
    are brought up to date.
    """
    pending = version.tags.get(REVIEW) == PENDING
    newest = list_versions(version.name, paths)[0]
    closed = version.aliases or not pending or "promoted.at" in version.tags
    if not closed and newest.version == version.version:
        with reachable(paths) as (client, _):
            client.set_registered_model_alias(version.name, CANDIDATE, version.version)
    write_standings(version.name, paths)
    return find_version(version.name, version.version, paths)


def _describe(version: ModelVersion, aliases: dict[str, Any]) -> Version:
    number = str(version.version)
    return Version(
        name=version.name,
        version=number,
        aliases=tuple(sorted(a for a, one in aliases.items() if str(one) == number)),
        tags=dict(version.tags),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        run=version.run_id or None,
        description=version.description or "",
    )
