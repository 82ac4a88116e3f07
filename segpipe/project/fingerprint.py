"""Fingerprints: what a result was made from, as one short string."""

import ast
import hashlib
import json
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# They change no result: what they write stands beside it.
WITHOUT_INFLUENCE = frozenset({"segpipe.project.errors"})

# Packages whose numbers end up in results: another version, another fingerprint.
NUMERICS = (
    "connected-components-3d",
    "edt",
    "imagecodecs",
    "nibabel",
    "numpy",
    "pillow",
    "scipy",
    "tifffile",
    "torch",
)


def digest_json(document: Any) -> str:
    """SHA-256 of a JSON document, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_path(module: str) -> Path:
    """The source file of a module, which is not imported for it."""
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    return Path(spec.origin)


def _imports(path: Path) -> set[str]:
    """The modules of segpipe that a source file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | {name for name in inner if _is_module(name)}
    return {name for name in found if name.startswith("segpipe.")}


def _is_module(name: str) -> bool:
    """Whether the dotted name is a module of segpipe and not something inside one."""
    if not name.startswith("segpipe."):
        return False
    path = Path(__file__).parents[2] / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def modules_behind(module: str) -> list[str]:
    """A module and all modules of segpipe that it imports, directly or not, sorted.

    DVC follows no imports: this list is what a stage must name in its ``deps``. Left
    out are packages (their ``__init__`` is a docstring) and the modules without
    influence on a result.
    """
    open_ends, seen = {module}, set[str]()
    while open_ends:
        name = open_ends.pop()
        seen.add(name)
        open_ends |= _imports(module_path(name)) - seen - WITHOUT_INFLUENCE
    return sorted(name for name in seen if module_path(name).name != "__init__.py")


def fingerprint(module: str, **made_from: Any) -> str:
    """What a result is made from: the code behind a module, and JSON documents.

    Args:
        module: The module whose code, imports included, makes the result.
        made_from: The values used and the digests of the inputs.

    Returns:
        SHA-256 in hexadecimal; another one as soon as anything differs, the versions
        of NUMERICS among it.
    """
    code = _code_behind(module)
    return digest_json({"code": code, "packages": _versions(), **made_from})


@cache
def _versions() -> dict[str, str]:
    """Of NUMERICS, without the suffix that says for which device torch was built."""
    return {name: version(name).split("+")[0] for name in NUMERICS}


@cache
def _code_behind(module: str) -> dict[str, str]:
    """The digest of each source file; read once a process, as Python does itself."""
    return {name: digest_file(module_path(name)) for name in modules_behind(module)}
