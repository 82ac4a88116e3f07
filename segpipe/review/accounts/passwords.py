"""Passwords: hashed with Argon2id, and never stored or logged themselves."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from segpipe.approval.keys import LONGEST

COSTS = RFC_9106_LOW_MEMORY  # RFC 9106, section 4: 64 MiB, three passes
HASHER = PasswordHasher.from_parameters(COSTS)
# What is checked for a name that nobody has, so that it takes as long as for another.
NOBODY = HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Hash a password that was checked when the key was encrypted with it."""
    return HASHER.hash(password)


def is_password(password: str, stored: str | None) -> bool:
    """Whether a password has this hash; None stands for a name that nobody has."""
    try:
        right = HASHER.verify(stored or NOBODY, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return right and bool(stored)
