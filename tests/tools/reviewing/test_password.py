"""A password comes from a terminal or from a file that others cannot read."""

import os
import pty
import select
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.reviewing.password import ask_new_password, ask_password


def test_a_file_of_its_owner_is_read_and_another_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse \n")
    file.chmod(0o600)

    assert ask_password("ann", file, option="--x") == "correct horse "
    assert ask_new_password("ann", file, option="--x") == "correct horse "
    for mode in (0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(DataError, match="a file that only its owner can read"):
            ask_password("ann", file, option="--x")
    with pytest.raises(DataError, match="expected a small file that holds the pass"):
        ask_password("ann", tmp_path, option="--x")


def test_without_a_terminal_the_option_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        for ask in (ask_password, ask_new_password):
            with pytest.raises(DataError, match="found none; --by-file names a file"):
                ask("ann", None, option="--by-file")


def read(terminal: int) -> bytes:
    """What a terminal shows next; it shows something within a minute."""
    ready, _, _ = select.select([terminal], [], [], 60)
    assert ready, "the program waits, and says nothing"
    return os.read(terminal, 1024)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (b"correct horse\ncorrect horse\n", "'correct horse'"),
        (b"correct horse\ncorrect hose\n", "expected the same twice, found two"),
    ],
)
def test_a_new_password_is_asked_for_twice_and_not_shown(
    typed: bytes, answer: str
) -> None:
    """On a real terminal, in a process of its own."""
    child, terminal = pty.fork()
    if child == 0:
        code = (
            "from segpipe.tools.reviewing.password import ask_new_password as ask\n"
            "try:\n    print(repr(ask('ann', None, option='--x')))\n"
            "except ValueError as error:\n    print(error)\n"
        )
        os.execvp("python", ["python", "-c", code])
    shown = b""
    try:
        for number, line in enumerate(typed.splitlines(keepends=True), 1):
            while shown.count(b": ") < number:
                shown += read(terminal)
            os.write(terminal, line)
        with suppress(OSError):  # the end of a terminal
            while more := read(terminal):
                shown += more
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)

    assert answer in shown.decode()
    before = shown.decode().partition("again:")[0]
    assert "horse" not in before
