"""What commands of several modules share: the panels of --help, and numbers."""

from segpipe.project.errors import DataError

STAGES = "Stages, as dvc repro runs them"
TOOLS = "Tools"
REGISTRY = "Registry"


def parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option that takes several, such as 0.5,0.5.

    Args:
        option: As it is typed, for the error.
        text: Numbers with commas between; None where the option is not given.

    Raises:
        DataError: If one of them is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise DataError(
            f"{option} {text}: expected numbers with commas between, as in 0.5,0.5"
        ) from error
