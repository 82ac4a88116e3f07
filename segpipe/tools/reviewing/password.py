"""Passwords: asked on the terminal, or read from a file; never from the command line.

What stands on a command line is seen by everybody who lists the processes, and stays in
the shell's history.
"""

import getpass
import stat
import sys
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.project.progress import waiting

LARGEST = 1000  # bytes of a file with a password


def ask_password(name: str, file: Path | None, *, option: str) -> str:
    """The password of a person who signs.

    Args:
        name: Whose it is.
        file: A file that holds it; none: ask on the terminal.
        option: The option that names the file, for the error.

    Raises:
        DataError: If there is neither a terminal nor a file, or others can read it.
    """
    if file is not None:
        return _read(file, option)
    _require_terminal(option)
    with waiting():
        return getpass.getpass(f"password of {name}: ")


def ask_new_password(name: str, file: Path | None, *, option: str) -> str:
    """The first password of a person, asked twice.

    Raises:
        DataError: As ``ask_password`` does, or if both differ.
    """
    if file is not None:
        return _read(file, option)
    _require_terminal(option)
    with waiting():
        first = getpass.getpass(f"new password of {name}: ")
        second = getpass.getpass(f"new password of {name}, again: ")
    if first != second:
        raise DataError(
            "password: expected the same twice, found two; nothing was done: try again"
        )
    return first


def _require_terminal(option: str) -> None:
    if not sys.stdin.isatty():
        raise DataError(
            f"password: expected a terminal to ask on, found none; {option} names a "
            "file that holds it"
        )


def _read(file: Path, option: str) -> str:
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise DataError(
            f"{option} {file}: expected a small file that holds the password, found "
            "none; write one that only you can read"
        )
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise DataError(
            f"{option} {file}: expected a file that only its owner can read, found one "
            f"that others can; `chmod 600 {file}`, and choose a new password if "
            "somebody may have read it"
        )
    return file.read_text(encoding="utf-8").rstrip("\r\n")
