"""Code as a dependency: which modules stand behind a module, and a digest of each."""

import ast
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Errors are raised and progress is told; neither is written into a result.
WITHOUT_INFLUENCE = frozenset({"segpipe.project.errors", "segpipe.project.progress"})
CATALOGUE = "segpipe.networks.catalogue"


def code_behind(module: str, *, networks: Collection[str] = ()) -> dict[str, str]:
    """Digest a module and all modules of segpipe that it imports, directly or not.

    The catalogue of networks imports every network, but a model uses one. Only the
    networks that are named count, so that a new network or a change in another one
    leaves a model's digests as they are.

    Args:
        module: Dotted name; the module is read, not imported.
        networks: Names in the catalogue.

    Returns:
        Digest of each module by its dotted name, in the order of names. Packages (their
        ``__init__`` is a docstring) and modules without influence on a result are left
        out.
    """
    chosen = {network_module(name) for name in networks}
    digests, open_ends, seen = {}, {module}, set(WITHOUT_INFLUENCE)
    while open_ends:
        name = open_ends.pop()
        seen.add(name)
        if name == CATALOGUE:
            open_ends |= chosen - seen
            continue
        source = _read(name)
        open_ends |= source.imports - seen
        if source.digest is not None:
            digests[name] = source.digest
    return dict(sorted(digests.items()))


def network_module(network: str) -> str:
    """The dotted name of the module that defines a network of the catalogue.

    That of ``monai/SegResNet`` and all others of MONAI is ``monai``.
    """
    return f"segpipe.networks.{network.partition('/')[0]}"


def module_exists(module: str) -> bool:
    """Whether segpipe has a module of that dotted name."""
    return _path(module) is not None


def uses_networks(module: str) -> bool:
    """Whether the catalogue of networks stands behind a module."""
    imports = (_read(name).imports for name in code_behind(module))
    return any(CATALOGUE in found for found in imports)


def digest_source(source: str) -> str:
    """SHA-256 of a source file's syntax: no comment, docstring or layout changes it."""
    return _digest(ast.parse(source))


def _digest(tree: ast.AST) -> str:
    text = "\n".join(_syntax(tree))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Source:
    """What a module imports of segpipe, and its digest unless it is a package."""

    imports: frozenset[str]
    digest: str | None


@cache  # once a process, as Python reads its modules itself
def _read(module: str) -> _Source:
    path = _path(module)
    assert path is not None, module
    tree = ast.parse(path.read_text(encoding="utf-8"))
    digest = None if path.name == "__init__.py" else _digest(tree)
    return _Source(frozenset(_imports(tree)), digest)


@cache
def _path(module: str) -> Path | None:
    """The source file of a dotted name; None if it names something in a module."""
    folder = Path(__file__).parents[2].joinpath(*module.split("."))
    for path in (folder.with_suffix(".py"), folder / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(tree: ast.AST) -> Iterator[str]:
    """Name the modules of segpipe that a source file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("segpipe.") and _path(name):
                yield name


class _Word(str):
    """A word of the spelled syntax, among what is still to be spelled."""


def _syntax(tree: ast.AST) -> list[str]:
    """Spell a syntax tree out, the same in each version of Python.

    Empty fields are left out, since newer versions have more of them. A stack and not a
    recursion: a module has thousands of nodes, and each command reads all its modules.
    """
    words: list[str] = []
    ahead: list[Any] = [tree]  # the next one is the last
    while ahead:
        node = ahead.pop()
        if isinstance(node, _Word):
            words.append(node)
        elif isinstance(node, ast.AST):
            words.append(type(node).__name__)
            ahead.append(_Word("."))
            for name in reversed(node._fields):
                value = getattr(node, name, None)
                if value is not None and value != []:
                    ahead += value, _Word(name)
        elif isinstance(node, list):
            ahead.append(_Word(","))
            ahead += [item for item in reversed(node) if not _is_text(item)]
        else:
            words.append(repr(node))
    return words


def _is_text(node: Any) -> bool:
    """Whether a statement is a string that does nothing, such as a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
