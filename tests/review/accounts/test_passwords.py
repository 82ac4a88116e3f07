"""Passwords are hashed with Argon2id and checked."""

import argon2
import pytest

from segpipe.review.accounts.passwords import COSTS, hash_password, is_password

GOOD = "four random words"


def test_a_hash_is_argon2id_with_a_salt_and_fits_its_password_only() -> None:
    """The oracle is the library itself, asked for the parameters in the hash."""
    stored = hash_password(GOOD)

    assert argon2.extract_parameters(stored).type is argon2.Type.ID
    assert (COSTS.memory_cost, COSTS.time_cost) == (65536, 3)
    assert stored != hash_password(GOOD)
    assert GOOD not in stored
    assert is_password(GOOD, stored)
    assert not is_password(GOOD + " ", stored)


@pytest.mark.parametrize("stored", [None, "", "$argon2id$damaged"])
def test_no_password_fits_a_name_that_nobody_has_or_a_damaged_hash(
    stored: str | None,
) -> None:
    assert not is_password("nobody has this password", stored)
