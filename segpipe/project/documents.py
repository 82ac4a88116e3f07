"""Document: a typed JSON file that one stage writes for the next, atomically."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
)

from segpipe.project.errors import DataError

# Not typing.Self: beartype, which checks types in the tests, refuses it in methods.
D = TypeVar("D", bound="Document")
LEVELS, VALUES = 100, 100_000  # of YAML
Unit = Literal["mm", "px"]  # of lengths; px without a physical spacing


class Document(BaseModel):
    """A frozen, strict model: an undeclared key and NaN or infinity are refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False
    )

    @classmethod
    def read(cls: type[D], path: Path) -> D:
        """Read a document.

        Raises:
            DataError: If the file is missing or was written in another format.
        """
        try:
            return cls.model_validate_json(expect_file(path).read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{path}: expected a {cls.__name__}, found at {where}: {first['msg']}; "
                "was it written by another version? Run `dvc repro` again"
            ) from error

    def write(self, path: Path) -> None:
        """Write the document; the same content gives the same bytes."""
        write_json(path, self.model_dump(mode="json", by_alias=True))


def is_empty(value: Any) -> bool:
    """Whether a field is None or holds nothing, and so is left out of a document."""
    return value is None or (isinstance(value, tuple | dict) and not value)


def expect_file(path: Path) -> Path:
    """Return the path of a file that an earlier stage writes.

    Raises:
        DataError: If there is no such file.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: expected what an earlier stage writes, found no file; "
            "run `dvc repro`, which runs the stages in their order"
        )
    return path


def parse_json(path: Path, content: bytes) -> Any:
    """Parse JSON that people or other programs wrote.

    Args:
        path: The file, for the error.
        content: Its content.

    Raises:
        DataError: If it is not JSON in UTF-8, or nested beyond all use.
    """
    try:
        return json.loads(content)
    except ValueError as error:  # also a wrong encoding
        raise DataError(f"{path}: expected JSON in UTF-8, found {error}") from error
    except RecursionError as error:
        raise DataError(
            f"{path}: expected JSON that nests a few levels, found a thousand or more; "
            "write the file again"
        ) from error


def parse_yaml(path: Path, content: str | bytes) -> Any:
    """Parse YAML 1.2 that people wrote, after a look at its size.

    Args:
        path: The file, for the error.
        content: Its content.

    Raises:
        DataError: If it is not YAML in UTF-8, nests more than 100 levels, or repeats
            itself by aliases to more than 100,000 values.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        _check_size(path, text)
        return YAML(typ="safe", pure=True).load(text)
    except DataError:
        raise
    except (YAMLError, ValueError) as error:  # also a wrong encoding, or a long number
        raise DataError(f"{path}: expected YAML 1.2 in UTF-8, found {error}") from error


def _check_size(path: Path, content: str) -> None:
    """Count levels and values, each alias by what it stands for, without building."""
    open_: list[tuple[str | None, int]] = []  # anchor, and the count at its start
    sizes: dict[str, int] = {}
    count = 0
    for event in YAML(typ="safe", pure=True).parse(content):
        if isinstance(event, AliasEvent):
            within = any(event.anchor == anchor for anchor, _ in open_)
            count += VALUES if within else sizes.get(event.anchor, 0)
        elif isinstance(event, NodeEvent):
            count += 1
            if isinstance(event, CollectionStartEvent):
                open_.append((event.anchor, count))
            elif event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, CollectionEndEvent):
            anchor, start = open_.pop()
            if anchor:
                sizes[anchor] = count - start + 1
        if len(open_) > LEVELS or count > VALUES:
            raise DataError(
                f"{path}: expected at most {LEVELS} levels and {VALUES} values, found "
                "more, as nested lists or aliases (*NAME) of aliases; write the values "
                "out"
            )


def validation_faults(error: ValidationError, *, whole: str) -> list[str]:
    """One line for each fault: the key, what is wrong with it, what was found.

    Args:
        error: What pydantic raised.
        whole: What stands for the key if the fault concerns the whole document.
    """
    return [
        f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}, "
        f"found {json.dumps(fault['input'])[:80]}"
        for fault in error.errors()
    ]


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 under a temporary name, then rename it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name of its own, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes and threads from writing a folder until the block ends.

    The lock is a hidden file beside the folder, which the block deletes at its end. The
    kernel frees the lock of a process that was killed.

    Raises:
        DataError: If another one is writing the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.lock")
    with path.open("w") as file:
        if not _lock(file, path):
            raise DataError(
                f"{folder}: expected no other process that writes it, found one; wait "
                "for its end and repeat"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: IO[str], path: Path) -> bool:
    """Lock an open file; False if another has it, or had it and deleted its name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """Write a folder under a temporary name, then put it in the place of the old one.

    Yields:
        The empty folder to write into; it replaces the old one when the block ends
        without an error, and is removed otherwise, as it may fill a disk.

    Raises:
        DataError: If another process is writing the folder.
    """
    part = folder.with_name(f".{folder.name}.part")
    with sole_writer(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def write_json(path: Path, document: Any) -> None:
    """Write JSON that people can read; NaN is refused (write null)."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
