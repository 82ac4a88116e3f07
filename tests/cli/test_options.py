"""Numbers as people type them."""

import pytest

from segpipe.cli.options import parse_numbers
from segpipe.project.errors import DataError


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
