"""code: digests of the code behind each stage, as files that DVC can depend on.

DVC follows no imports. This stage follows them for it, so that a stage becomes stale
when code that it runs changes, and only then.
"""

import logging
import pkgutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import segpipe.stages
from segpipe.project.code import (
    code_behind,
    module_exists,
    network_module,
    uses_networks,
)
from segpipe.project.documents import Document, write_folder
from segpipe.project.errors import DataError
from segpipe.project.origin.study import read_study, shipped
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


class CodeDigest(Document):
    """artifacts/code/STAGE.json or STAGE/MODEL.json: the code that a stage runs.

    Attributes:
        format_version: Version of this document's format.
        modules: Digest of each module of segpipe behind the stage.
        packages: Version of each package whose numbers end up in results: the pinned
            one, or in a study the installed one.
    """

    format_version: Literal[1]
    modules: dict[str, str]
    packages: dict[str, str]


def run(*, networks: Mapping[str, str], paths: Paths) -> None:
    """Write artifacts/code: a file for each stage and for each model of a stage.

    A stage behind which networks stand has one file with the networks of all models,
    and one for each model with the network that this model names.

    Args:
        networks: Name of each model to the name of its network.
        paths: The project's folders. The modules are those of the running segpipe,
            wherever it is installed.

    Raises:
        DataError: If a network has no module, or the pins are missing.
    """
    digests = digest_stages(networks=networks, paths=paths)
    with write_folder(code_folder(paths)) as part:
        for name, document in digests.items():
            document.write(part / f"{name}.json")
    stages = [name for name in digests if "/" not in name]
    log.info("code: %d stages, %d models", len(stages), len(networks))


def code_folder(paths: Paths) -> Path:
    """The folder of the digests."""
    return paths.artifacts / "code"


def read_digests(paths: Paths) -> dict[str, CodeDigest]:
    """Read the digests that the stage wrote last; empty if it never ran.

    Returns:
        Digest by STAGE, or by STAGE/MODEL.

    Raises:
        DataError: If a file was written in another format.
    """
    folder = code_folder(paths)
    return {
        path.relative_to(folder).with_suffix("").as_posix(): CodeDigest.read(path)
        for path in sorted(folder.rglob("*.json"))
    }


def digest_stages(
    *, networks: Mapping[str, str], paths: Paths
) -> dict[str, CodeDigest]:
    """Digest the code behind each stage, as it is now; arguments as of `run`.

    Returns:
        Digest by STAGE, or by STAGE/MODEL.

    Raises:
        DataError: If a network has no module, or the pins are missing.
    """
    for model, network in networks.items():
        if not module_exists(network_module(network)):
            raise DataError(
                f"{paths.params}, train.{model}.network: expected a module of "
                f"segpipe/networks, found {network}"
            )
    packages = _read_packages(paths)

    def build(module: str, chosen: list[str]) -> CodeDigest:
        modules = code_behind(module, networks=chosen)
        return CodeDigest(format_version=1, modules=modules, packages=packages)

    digests = {}
    names = [info.name for info in pkgutil.iter_modules(segpipe.stages.__path__)]
    for name in sorted(names):
        module = f"{segpipe.stages.__name__}.{name}"
        digests[name] = build(module, sorted(networks.values()))
        if uses_networks(module):
            for model, network in networks.items():
                digests[f"{name}/{model}"] = build(module, [network])
    return digests


def _read_packages(paths: Paths) -> dict[str, str]:
    """Version of each numerical package: as pinned, or in a study as installed.

    The local suffix of an installed version, such as +cpu, is left out as in the pins.
    """
    if read_study(paths.root) is None:
        return _read_pins(paths.pins)
    names = _read_pins(shipped(paths.pins.name))
    return {name: version(name).split("+")[0] for name in names}


def _read_pins(path: Path) -> dict[str, str]:
    """Read name and version from lines such as ``numpy==2.4.6``.

    Raises:
        DataError: If there is no such file or a line is no pin.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: expected the pinned versions of the numerical packages, found no "
            "file; restore it from git, or write NAME==VERSION for each"
        )
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, pinned = line.strip().partition("==")
        if not equals:
            raise DataError(f"{path}: expected lines NAME==VERSION, found {line!r}")
        pins[name] = pinned
    return pins
