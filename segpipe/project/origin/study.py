"""study: the name of a project, and the segpipe that works in it.

A study is a project without segpipe's code: the installed package works there.
study.json says its name and which segpipe wrote its files. A checkout of segpipe is a
project, too, and has no study.json.
"""

import hashlib
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import segpipe
from segpipe.project.documents import Document
from segpipe.project.fingerprint import digest_file, digest_json

FILE = "study.json"
CHECKOUT = "segpipe"  # the name of a project that is no study
PACKAGE = Path(segpipe.__file__).parent
# Files of a checkout's root that a wheel carries in segpipe/shipped/: setup.py.
SHIPPED = PACKAGE / "shipped"


class Study(Document):
    """study.json, in the root of a study.

    Attributes:
        format_version: Version of this document's format.
        name: Name of the study, in MLflow's experiments and Prefect's deployments.
        segpipe: Version of the segpipe that wrote the files.
        files: SHA-256 of each file as it was written, to tell later whether somebody
            has edited it.
    """

    format_version: Literal[1]
    name: str
    segpipe: str
    files: dict[str, str]


def read_study(root: Path) -> Study | None:
    """Read study.json; None if the project is no study.

    Raises:
        DataError: If the file was written in another format.
    """
    file = root / FILE
    return Study.read(file) if file.is_file() else None


def project_name(root: Path) -> str:
    """The name of a study, or segpipe where there is none."""
    study = read_study(root)
    return CHECKOUT if study is None else study.name


def in_checkout() -> bool:
    """Whether the running segpipe lies in a checkout; otherwise it is installed."""
    return not SHIPPED.is_dir()


def shipped(name: str) -> Path:
    """A file or folder that comes with segpipe, by its path in a checkout's root."""
    return (PACKAGE.parent if in_checkout() else SHIPPED) / name


def code_path() -> str:
    """PYTHONPATH by which other processes find the running segpipe.

    It begins with the checkout, if segpipe lies in one; an installed segpipe needs no
    entry. What the user has set follows.
    """
    checkout = str(PACKAGE.parent) if in_checkout() else ""
    return os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))


@cache
def code_tags() -> dict[str, str]:
    """Version of the running segpipe, and a digest of its modules' bytes.

    They name the code where a project's commit does not, as in a study.
    """
    digests = {
        path.relative_to(PACKAGE).as_posix(): digest_file(path)
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return {"segpipe.version": version("segpipe"), "segpipe.code": digest_json(digests)}


def digest_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as digest_file gives for a file with it."""
    return hashlib.sha256(text.encode()).hexdigest()
