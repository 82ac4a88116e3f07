"""watch: emit an event when there are new data, a new commit or new deliveries.

The flow only looks, so it may run every few minutes. The deployment of `retrain` waits
for the event ``segpipe.data.changed``.
"""

import hashlib
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.events import emit_event

from segpipe.project.documents import parse_json, write_json
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import git_tags
from segpipe.project.origin.study import project_name

CHANGED = "segpipe.data.changed"


@flow(name="watch")
def watch(root: str = ".", inbox: str | None = None) -> list[str]:
    """Compare commit, data.dvc and inbox with their last state.

    Args:
        root: The project's folder.
        inbox: Folder of the deliveries that retrain imports, if there is one.

    Returns:
        What changed: commit, data or inbox; any change emits the event.

    Raises:
        DataError: If the folder is not a project.
    """
    place = Path(root).resolve()
    now = look(place, inbox)
    memory = place / ".cache" / "watch.json"
    before = parse_json(memory, memory.read_bytes()) if memory.is_file() else {}
    changed = [name for name, state in now.items() if state != before.get(name)]
    if changed:
        get_run_logger().info("changed: %s", ", ".join(changed))
        name = project_name(place)
        emit_event(
            CHANGED,
            resource={"prefect.resource.id": f"segpipe.project.{name}"},
            payload={"changed": changed},
        )
        write_json(memory, now)
    return changed


def look(root: Path, inbox: str | None) -> dict[str, str | None]:
    """Current commit, digest of data.dvc and digest of the inbox; None if absent.

    Raises:
        DataError: If the folder is not a project.
    """
    if not (root / "dvc.yaml").is_file():
        raise DataError(f"{root}: expected a project with dvc.yaml, found none")
    tracked = root / "data.dvc"
    return {
        "commit": git_tags(root).get("git.commit"),
        "data": _digest(tracked.read_text(encoding="utf-8"))
        if tracked.is_file()
        else None,
        "inbox": _listing(Path(inbox)) if inbox else None,
    }


def _listing(inbox: Path) -> str | None:
    """Digest of the names, sizes and times of all deliveries; None without any."""
    files = [
        f"{path.relative_to(inbox)} {path.lstat().st_size} {path.lstat().st_mtime_ns}"
        for path in sorted(inbox.rglob("*"))
        if not path.relative_to(inbox).parts[0].startswith(".") and path.is_file()
    ]
    return _digest("\n".join(files)) if files else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
