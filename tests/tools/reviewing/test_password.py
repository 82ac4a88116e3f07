"""A password comes from a terminal or from a file that others cannot read."""

import os
import pty
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
    for line in typed.splitlines(keepends=True):
        while not shown.rstrip().endswith(b":"):
            shown += os.read(terminal, 1024)
        os.write(terminal, line)
        shown += os.read(terminal, 1)
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:  # the end of a terminal
        pass
    os.waitpid(child, 0)
    os.close(terminal)

    assert answer in shown.decode()
    before = shown.decode().partition("again:")[0]
    assert "horse" not in before
