"""Document: a typed JSON file that one stage writes for the next, atomically."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segpipe.project.errors import DataError

# Not typing.Self: beartype, which checks types in the tests, refuses it in methods.
D = TypeVar("D", bound="Document")
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
def write_folder(folder: Path) -> Iterator[Path]:
    """Write a folder under a temporary name, then put it in the place of the old one.

    Yields:
        The empty folder to write into; it replaces the old one when the block ends
        without an error.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def write_json(path: Path, document: Any) -> None:
    """Write JSON that people can read; NaN is refused (write null)."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
