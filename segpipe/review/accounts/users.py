"""Users: who may log in, with which roles, and what happens after wrong passwords."""

import re
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, update

from segpipe.project.errors import DataError
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.passwords import hash_password, is_password
from segpipe.review.accounts.tables import Login, User, now

ROLES = ("reader", "adjudicator", "lead", "admin")
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")  # as the names of signing keys
TRIES = 5  # wrong passwords before the account is locked
LOCKED = timedelta(minutes=15)


def add_user(
    database: Database,
    name: str,
    *,
    printed_name: str,
    roles: Sequence[str],
    password: str,
) -> User:
    """Add a person.

    Raises:
        DataError: If the name is taken, or a value is none that can be.
    """
    if not NAME.fullmatch(name):
        raise DataError(
            f"{name!r}: expected a name of at most 32 small letters, digits, '.', '_' "
            "and '-' that begins with a letter; choose such a one"
        )
    if not 1 <= len(printed_name.strip()) <= 200:
        raise DataError(
            f"{name}: expected a printed name of 1 to 200 characters, found "
            f"{len(printed_name.strip())}; it stands in every record"
        )
    strange = [role for role in roles if role not in ROLES]
    if strange or not roles:
        raise DataError(
            f"{name}: expected roles out of {', '.join(ROLES)}, found "
            f"{', '.join(strange) or 'none'}"
        )
    hashed = hash_password(password, name)
    with database.begin() as session:
        if session.scalar(select(User).where(User.name == name)):
            raise DataError(f"{name}: expected a new name, found a user who has it")
        user = User(
            name=name,
            printed_name=printed_name.strip(),
            password=hashed,
            roles=[role for role in ROLES if role in roles],
            made=now(),
        )
        session.add(user)
    return user


def list_users(database: Database) -> list[User]:
    """Everybody, by name."""
    with database.begin() as session:
        return list(session.scalars(select(User).order_by(User.name)))


def find_user(database: Database, name: str) -> User:
    """The user of a name.

    Raises:
        DataError: If there is none.
    """
    with database.begin() as session:
        user = session.scalar(select(User).where(User.name == name))
    if user is None:
        raise DataError(
            f"{name}: expected a user, found none of this name; "
            "`segpipe review accounts list` names them"
        )
    return user


def set_password(database: Database, name: str, password: str) -> None:
    """Give a user another password; all sessions of the user end.

    Raises:
        DataError: If there is no such user, or the password is none that can be.
    """
    hashed = hash_password(password, name)
    user = find_user(database, name)
    with database.begin() as session:
        user = session.merge(user)
        user.password, user.failures, user.locked_until = hashed, 0, None
        session.execute(delete(Login).where(Login.user_id == user.id))


def disable_user(database: Database, name: str) -> None:
    """Close an account and end its sessions; what the user said stays.

    Raises:
        DataError: If there is no such user.
    """
    user = find_user(database, name)
    with database.begin() as session:
        session.merge(user).disabled = True
        session.execute(delete(Login).where(Login.user_id == user.id))


def check_password(database: Database, name: str, password: str) -> User | None:
    """The user of a name and password; None if they are wrong or the account is locked.

    After TRIES wrong passwords no password is tried for a while, also no right one. An
    unknown name takes as long as a known one.
    """
    with database.begin() as session:
        user = session.scalar(select(User).where(User.name == name))
        right = is_password(password, user.password if user else None)
        if user is None or user.disabled:
            return None
        if user.locked_until is not None and now() < user.locked_until:
            return None
        if right:
            user.failures, user.locked_until = 0, None
            return user
        # Added by the database, so that tries at the same time all count.
        session.execute(
            update(User).where(User.id == user.id).values(failures=User.failures + 1)
        )
        session.refresh(user)
        if user.failures >= TRIES:
            user.failures, user.locked_until = 0, now() + LOCKED
        return None
