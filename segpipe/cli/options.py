"""Options: what the commands of several modules share: panels of --help and options."""

from typing import Annotated

import typer

from segpipe.project.errors import DataError

STAGES = "Stages, as dvc repro runs them"
TOOLS = "Tools"
REGISTRY = "Registry"

SpacingMm = Annotated[
    str | None,
    typer.Option(help="Spacing of pictures that carry none, such as 0.5,0.5."),
]


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
