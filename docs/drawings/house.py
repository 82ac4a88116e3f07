"""The rooms of the house, read from pyproject.toml's contracts and the imports."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from docs.drawings.picture import Row, Word


def read_house(root: Path) -> list[Row]:
    """The rooms from top to bottom: flows, and the floors of segpipe."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    packages, floors = _read_layers(contracts)
    guests = {
        module
        for contract in contracts
        for module in contract.get("protected_modules", [])
    }
    rooms = {
        name: root / package / name if package in floors else root / package
        for package in packages
        for name in floors.get(package, [package])
    }
    return [_read_room(name, rooms, guests) for name in rooms]


def _read_layers(contracts: list[Any]) -> tuple[list[str], dict[str, list[str]]]:
    """The packages from top to bottom, and the floors of those that have some."""
    layers = [contract for contract in contracts if contract["type"] == "layers"]
    packages = next(part["layers"] for part in layers if "containers" not in part)
    floors = {
        container: part["layers"]
        for part in layers
        for container in part.get("containers", [])
    }
    return packages, floors


def _read_room(name: str, rooms: dict[str, Path], guests: set[str]) -> Row:
    """A room is a folder, or a module where a floor is a single file."""
    path = rooms[name]
    if not path.is_dir():
        file = path.with_suffix(".py")
        text = first_line(file, name)
        return Row(name, "", text, stops=_count([file], name, rooms), shape="slim")
    files = _modules(path)
    parts = {folder: _modules(folder) for folder in path.iterdir() if folder.is_dir()}
    parts |= {file: [file] for file in files if file.parent == path}
    used = {part: _imported(parts[part]) & guests for part in sorted(parts)}
    own = _at_home_in_room(used)
    words = [
        Word(f"{part.name} {len(parts[part])}", "folder", _sorted(found - own))
        for part, found in used.items()
        if part.is_dir() and parts[part]
    ]
    words += [Word(part.stem) for part in used if part.is_file()]
    words += [Word(guest, "guest") for guest in _sorted(own)]
    return Row(
        name,
        f"{len(files)} modules",
        first_line(path / "__init__.py", name),
        lines=(tuple(words),),
        stops=_count(files, name, rooms),
        shape="roof" if name == next(iter(rooms)) else "box",
    )


def _at_home_in_room(used: dict[Path, set[str]]) -> set[str]:
    """Guests of more than one part of a room, or of a module that is in no folder."""
    times = Counter(guest for found in used.values() for guest in found)
    return {
        guest
        for part, found in used.items()
        for guest in found
        if times[guest] > 1 or part.is_file()
    }


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=str.lower))


def _imported(files: list[Path]) -> set[str]:
    """Packages that modules import."""
    return {
        name.split(".")[0] for file in files for name in imports_of(file.read_text())
    }


def _count(files: list[Path], own: str, rooms: dict[str, Path]) -> dict[str, int]:
    """Number of imports from each other room."""
    parts = [name.split(".") for file in files for name in imports_of(file.read_text())]
    counts = Counter(part[1] for part in parts if part[0] == "segpipe" and part[1:])
    return {room: counts[room] for room in rooms if counts[room] and room != own}


def imports_of(source: str) -> list[str]:
    """Full names of what a source file imports, also inside its functions."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def first_line(file: Path, name: str) -> str:
    """First line of a docstring, without the name that stands beside it."""
    line = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n")[0]
    line = re.sub(rf"^{name}: ", "", line, flags=re.IGNORECASE)
    return line[:1].upper() + line[1:]
