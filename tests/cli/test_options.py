"""Numbers as people type them."""

import gc

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.cli.options import importing, parse_numbers
from segpipe.project.errors import DataError

OPTIONS = {
    f"{name} {word}": (name, word, option)
    for name, command in get_command(app).commands.items()
    for option in command.params
    if option.param_type_name == "option"
    for word in (*option.opts, *option.secondary_opts)
}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [(None, None), ("2", (2.0,)), ("0.5,0.25", (0.5, 0.25)), ("1, 2,3", (1, 2, 3))],
)
def test_numbers_stand_with_commas_between(
    text: str | None, numbers: tuple[float, ...] | None
) -> None:
    assert parse_numbers("--spacing-mm", text) == numbers


@pytest.mark.parametrize("text", ["", "0.5;0.5", "0.5,", "wide"])
def test_what_is_no_number_is_said_with_its_option(text: str) -> None:
    with pytest.raises(DataError, match=f"^--spacing-mm {text}: expected numbers"):
        parse_numbers("--spacing-mm", text)


@pytest.mark.parametrize("which", OPTIONS)
def test_an_option_that_is_given_twice_means_both_or_is_refused(which: str) -> None:
    """--label-suffix kept the last in silence, and spleens came in as livers."""
    command, word, option = OPTIONS[which]
    once = [word] if option.is_flag else [word, "1"]
    result = CliRunner().invoke(app, [command, *once, *once])

    refused = f"{option.opts[0]}: expected once, found 2 times" in result.output
    assert refused != option.multiple
    assert result.exit_code != 0


def test_a_word_that_is_a_value_is_no_option(tmp_path) -> None:
    words = ["import", "a", "b", "--label-suffix", "--add", "--add"]
    result = CliRunner().invoke(app, words)

    assert "expected once" not in result.output


def test_garbage_is_looked_for_again_after_imports_and_is_frozen_once() -> None:
    """What a process freezes is never freed, so a second command freezes nothing."""
    with importing():
        assert not gc.isenabled()
    frozen = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    with importing():
        pass

    assert gc.isenabled()
    assert len(kept) == 1000
    assert 0 < gc.get_freeze_count() <= frozen
