"""Digests of files and documents; fingerprints of results."""

import hashlib
import json
from collections.abc import Collection
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segpipe.project.code import code_behind

# Packages whose numbers end up in results: another version, another fingerprint.
NUMERICS = (
    "connected-components-3d",
    "edt",
    "imagecodecs",
    "nibabel",
    "numpy",
    "pillow",
    "scikit-image",
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


def fingerprint(
    module: str, *, networks: Collection[str] = (), **made_from: Any
) -> str:
    """Identify a result by all that it is made from.

    Args:
        module: The module whose code, imports included, makes the result.
        networks: Names of the networks that it uses.
        made_from: The values used and the digests of the inputs.

    Returns:
        SHA-256 in hexadecimal. It differs as soon as code, inputs, values or the
        versions of NUMERICS differ.
    """
    code = _code(module, frozenset(networks))
    return digest_json({"code": code, "packages": _versions(), **made_from})


@cache  # the sources are read once a process
def _code(module: str, networks: frozenset[str]) -> dict[str, str]:
    """Digests of the modules behind a module; to be looked at, not changed."""
    return code_behind(module, networks=networks)


@cache
def _versions() -> dict[str, str]:
    """Version of each of NUMERICS, without the suffix of torch's device build."""
    return {name: version(name).split("+")[0] for name in NUMERICS}
