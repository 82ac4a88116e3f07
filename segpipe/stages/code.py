"""code: digests of the code behind each stage, as files that DVC can depend on.

DVC follows no imports. This stage follows them for it, so that a stage becomes stale
when code that it runs changes, and only then.
"""

import logging
import pkgutil
from collections.abc import Mapping
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
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


class CodeDigest(Document):
    """artifacts/code/STAGE.json or STAGE/MODEL.json: the code that a stage runs.

    Attributes:
        format_version: Version of this document's format.
        modules: Digest of each module of segpipe behind the stage.
        packages: Pinned version of each package whose numbers end up in results.
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
    for model, network in networks.items():
        if not module_exists(network_module(network)):
            raise DataError(
                f"{paths.params}, train.{model}.network: expected a module of "
                f"segpipe/networks, found {network}"
            )
    packages = _read_pins(paths.pins)

    def write(file: Path, module: str, chosen: list[str]) -> None:
        modules = code_behind(module, networks=chosen)
        document = CodeDigest(format_version=1, modules=modules, packages=packages)
        document.write(file)

    names = [info.name for info in pkgutil.iter_modules(segpipe.stages.__path__)]
    with write_folder(paths.artifacts / "code") as part:
        for name in sorted(names):
            module = f"{segpipe.stages.__name__}.{name}"
            write(part / f"{name}.json", module, sorted(networks.values()))
            if uses_networks(module):
                for model, network in networks.items():
                    write(part / name / f"{model}.json", module, [network])
    log.info("code: %d stages, %d models", len(names), len(networks))


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
