"""Options: what commands share: panels of --help, and the rules of their options."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from segpipe.project.errors import DataError

STAGES = "Stages, as dvc repro runs them"
TOOLS = "Tools"
REGISTRY = "Registry"

SpacingMm = Annotated[
    str | None,
    typer.Option(help="Spacing of pictures that carry none, such as 0.5,0.5."),
]
As = Annotated[str, typer.Option("--as", help="Name of the key that signs.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File that holds the password of who signs; else it is asked."),
]


@contextmanager
def importing() -> Iterator[None]:
    """Import what a command needs without looking for garbage meanwhile.

    Python looks for it after each few hundred new objects. torch and MLflow make a
    million, which all stay: a quarter of the time was spent in vain. They are frozen,
    so that no later look goes over them, either; once in a process, since what is
    frozen is never freed.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
        if was_on:
            gc.enable()


def parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Parse an option that takes several numbers, such as 0.5,0.5.

    Args:
        option: Name of the option, for the error.
        text: Numbers separated by commas; None if the option is not given.

    Raises:
        DataError: If one of them is not a number.
    """
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise DataError(
            f"{option} {text}: expected numbers separated by commas, as in 0.5,0.5"
        ) from error


class OnceEach(TyperGroup):
    """The command line, which refuses an option that is given twice and holds one.

    Typer keeps the last value in silence, and so another one than somebody meant.
    """

    def resolve_command(
        self, ctx: Any, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:
        """Find the command, as Typer does, and refuse a repeated option of it."""
        name, command, words = super().resolve_command(ctx, args)
        if command is not None:
            # Its own context says the command's usage; wrong words are left to Typer.
            own = typer.Context(
                command, parent=ctx, info_name=name, resilient_parsing=True
            )
            _, _, given = command.make_parser(own).parse_args(args=[*words])
            for option, times in Counter(given).items():
                if times > 1 and not _holds_several(option):
                    own.fail(
                        f"{option.opts[0]}: expected once, found {times} times; it "
                        "holds one value: give one"
                    )
        return name, command, words


def _holds_several(option: Any) -> bool:
    """Whether a parameter is a list, an argument or --help."""
    return (
        option.param_type_name != "option" or option.is_eager or bool(option.multiple)
    )
