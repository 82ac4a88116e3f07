"""Passwords: hashed with Argon2id, and never stored or logged themselves."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from segpipe.project.errors import DataError

SHORTEST, LONGEST = 12, 200  # NIST SP 800-63B: long ones, no rules about signs
COSTS = RFC_9106_LOW_MEMORY  # RFC 9106, section 4: 64 MiB, three passes
HASHER = PasswordHasher.from_parameters(COSTS)
# What is checked for a name that nobody has, so that it takes as long as for another.
NOBODY = HASHER.hash("nobody has this password")


def hash_password(password: str, name: str) -> str:
    """Hash a new password.

    Raises:
        DataError: If it is too short, too long, or contains the name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise DataError(
            f"password: expected {SHORTEST} to {LONGEST} characters, found "
            f"{len(password)}; four random words are good"
        )
    if name.lower() in password.lower():
        raise DataError("password: expected one without the name, found the name in it")
    return HASHER.hash(password)


def is_password(password: str, stored: str | None) -> bool:
    """Whether a password has this hash; None stands for a name that nobody has."""
    try:
        right = HASHER.verify(stored or NOBODY, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return right and bool(stored)
