"""preset: write a complete params.yaml without losing edits."""

import subprocess
from pathlib import Path

from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.params import read_params


def list_presets(presets: Path) -> dict[str, str]:
    """Name of each preset to its purpose, which is the first line of its file."""
    return {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
        for path in sorted(presets.glob("*.yaml"))
    }


def write_preset(name: str, *, params: Path, presets: Path, force: bool) -> list[str]:
    """Write presets/NAME.yaml over params.yaml.

    Args:
        name: Name of the preset.
        params: The file to write.
        presets: Folder of the presets.
        force: Whether to overwrite edits.

    Returns:
        Lines on what was written, and what to do next.

    Raises:
        DataError: If there is no such preset, or params.yaml has edits that are neither
            in a preset nor in git's last commit.
    """
    known = list_presets(presets)
    if name not in known:
        listed = "\n".join(f"  {text}" for text in known.values())
        raise DataError(
            f"{presets}: expected one of these presets, found {name}:\n{listed}"
        )
    if not force and _would_lose(params, presets):
        raise DataError(
            f"{params}: expected no edits, found some that are neither in a preset nor "
            "in the last commit; commit them, or use --force to overwrite them"
        )
    text = (presets / f"{name}.yaml").read_text(encoding="utf-8")
    same = params.is_file() and params.read_text(encoding="utf-8") == text
    write_text(params, text)
    models = ", ".join(map(str, read_params(params)["models"]))
    return [
        f"{params} {'was' if same else 'is now'} the preset {known[name]}",
        f"It trains {models}; next: segpipe verify, then dvc repro",
    ]


def _would_lose(params: Path, presets: Path) -> bool:
    if not params.is_file():
        return False
    text = params.read_bytes()
    kept = [path.read_bytes() for path in presets.glob("*.yaml")]
    return text not in kept and text != _committed(params)


def _committed(path: Path) -> bytes | None:
    """Content of the file in git's last commit; None without git or commit."""
    where = path.resolve()
    try:
        return subprocess.run(
            ["git", "-C", str(where.parent), "show", f"HEAD:./{where.name}"],
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
