"""models: list the registered segmenters as a table."""

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.project.tables import column_lines
from segpipe.registry.store import DATA, shown_uri
from segpipe.registry.versions import REVIEW, Version, list_versions

ABSENT = "-"
SHOWN = 8  # characters of a digest
NUMBERS = {"Dice": "test/dice", "IoU": "test/iou", "PA": "test/pa"}


def models(name: str | None, paths: Paths) -> list[str]:
    """List the versions of a name, or of all names, as lines of a table.

    Raises:
        DataError: If nothing is registered, or the registry cannot be reached.
    """
    versions = list_versions(name, paths)
    if not versions:
        raise DataError(
            f"{shown_uri(paths)}: expected registered segmenters"
            f"{f' with the name {name}' if name else ''}, found none; "
            "`segpipe register MODEL` adds one"
        )
    return column_lines([_row(one) for one in versions])


def _row(version: Version) -> dict[str, str]:
    tags = version.tags
    commit = tags.get("git.commit", ABSENT)[:SHOWN]
    return {
        "name": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases) or ABSENT,
        "model": tags.get("segpipe.model", ABSENT),
        **{title: _number(tags.get(tag)) for title, tag in NUMBERS.items()},
        "data": tags.get(DATA, ABSENT)[:SHOWN],
        "commit": commit + "+" * (tags.get("git.dirty") == "true"),
        "made (UTC)": version.created.strftime("%Y-%m-%d %H:%M"),
        "review": tags.get(REVIEW, ABSENT),
    }


def _number(text: str | None) -> str:
    return ABSENT if text is None else f"{float(text):.3f}"
