"""The page of commands names each command, each option and each default."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from segpipe.__main__ import app
from segpipe.cli.options import STAGES
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


def all_commands(group: Any, lead: str = "") -> Iterator[tuple[str, Any]]:
    """Name and command, also of groups such as review: ``review show``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{lead}{name} ")
        else:
            yield lead + name, command


COMMANDS = dict(all_commands(get_command(app)))
SECTIONS = {
    part.split("\n", 1)[0]: part for part in re.split(r"^### ", PAGE, flags=re.M)[1:]
}
OPTION = re.compile(r"^\| (`--[^|]*) \|([^|]*)\|", re.M)


def test_the_page_has_each_command_and_no_other() -> None:
    stages = {n for n, c in COMMANDS.items() if c.rich_help_panel == STAGES}

    assert set(SECTIONS) == set(COMMANDS) - stages
    assert set(re.findall(r"^\| `segpipe (\w+)", PAGE, re.M)) == stages


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_shown_with_its_arguments(name: str) -> None:
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    words = [p.name.upper() + "..." * (p.nargs == -1) for p in arguments]

    assert f"`{' '.join(['segpipe', name, *words])}" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_shown_with_its_options_and_their_defaults(name: str) -> None:
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    if name not in SECTIONS:  # a stage: one line
        line = re.search(rf"`segpipe {name}([^`]*)`", PAGE)
        assert line is not None
        shown = re.findall(r"--[\w-]+", line[1])
        assert shown == [p.opts[0] for p in options]
        return

    shown = {row[0]: row[1].strip() for row in OPTION.findall(SECTIONS[name])}
    assert shown == {
        ", ".join(f"`{word}`" for word in [*option.opts, *option.secondary_opts]): (
            default_of(option)
        )
        for option in options
    }


def default_of(option: Any) -> str:
    """The default as the page shows it; empty for none and for a plain flag."""
    if option.secondary_opts:
        return "yes" if option.default else "no"
    if option.default is None or option.default is False:
        return ""
    return option.default if isinstance(option.default, str) else f"{option.default:g}"
