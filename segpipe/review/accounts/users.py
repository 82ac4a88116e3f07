"""Users: people with a key and a login, and what happens after wrong passwords.

Who somebody is, with which roles and until when, says the chain. The database has the
login alone: a hash of the same password that the key is encrypted with.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select, update

from segpipe.approval.chain.signing import add_person, expect_person, revoke_person
from segpipe.approval.chain.verification import verify
from segpipe.approval.keys import change_password as change_key
from segpipe.approval.keys import key_path, read_key
from segpipe.approval.people import Person, Roster
from segpipe.approval.policy import utc_now
from segpipe.approval.records import Record, Role
from segpipe.project.errors import DataError
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.passwords import hash_password, is_password
from segpipe.review.accounts.tables import Login, User

TRIES = 5  # wrong passwords before the account is locked
LOCKED = timedelta(minutes=15)


@dataclass(frozen=True)
class Newcomer:
    """A person to be added.

    Attributes:
        name: Name of the key, and what is typed to log in.
        printed_name: The name for people.
        roles: What the person may do.
        known_as: Other names: of the account on the machine, e-mail in git.
    """

    name: str
    printed_name: str
    roles: tuple[Role, ...]
    known_as: tuple[str, ...] = ()


def add_user(
    database: Database,
    newcomer: Newcomer,
    password: str,
    root: Path,
    *,
    by: tuple[str, str] | None = None,
) -> Record:
    """Make a person's key, enrol it in the chain, and let the person log in.

    Args:
        database: The accounts.
        newcomer: Who is added.
        password: The person's password, of key and login.
        root: The project of the chain.
        by: Name and password of the admin who enrols; none for the first person.

    Returns:
        The record of the enrolment.

    Raises:
        DataError: As ``add_person`` does.
    """
    record = add_person(
        newcomer.name,
        newcomer.printed_name,
        newcomer.roles,
        password,
        root,
        known_as=newcomer.known_as,
        by=by,
    )
    roster = verify(root).require_whole().roster
    _set_login(database, expect_person(newcomer.name, roster), password)
    return record


def change_password(
    database: Database, name: str, old: str, new: str, root: Path
) -> None:
    """Give a person's key and login another password; all sessions end.

    Where the key is and no login, as on a new machine, this makes the login. After a
    crash between key and login, do it again with the key's password as the old one.

    Raises:
        DataError: If the person may not sign, the key is not on this machine, the old
            password is wrong, or the new one is easily guessed.
    """
    person = expect_person(name, verify(root).require_whole().roster)
    key = read_key(name, root)
    if key.public_key != person.public_key:
        raise DataError(
            f"{key_path(root, name)}: expected the key that record {person.enrolled} "
            "enrolled, found another; copy it from the machine that has it"
        )
    change_key(name, old, new, root)
    _set_login(database, person, new)


def revoke_user(
    database: Database, name: str, reason: str, root: Path, *, by: tuple[str, str]
) -> Record:
    """Revoke a person's key, and end the login and its sessions.

    Args:
        database: The accounts.
        name: Name of the key.
        reason: Why.
        root: The project of the chain.
        by: Name and password of the admin who signs.

    Raises:
        DataError: As ``revoke_person`` does.
    """
    record = revoke_person(name, reason, *by, root)
    with database.begin() as session:
        own = select(User.id).where(User.name == name)
        session.execute(delete(Login).where(Login.user_id.in_(own)))
        session.execute(update(User).where(User.name == name).values(password=""))
    return record


def list_users(database: Database) -> list[User]:
    """All logins, by name."""
    with database.begin() as session:
        return list(session.scalars(select(User).order_by(User.name)))


def find_user(database: Database, name: str, roster: Roster) -> tuple[User, Person]:
    """The login of a name, and whose it is.

    Raises:
        DataError: If the person may not sign, or cannot log in here.
    """
    person = expect_person(name, roster)
    with database.begin() as session:
        user = session.scalar(select(User).where(User.name == name))
    if user is None or person_of(user, roster) is None:
        raise DataError(describe_lack([name]))
    return user, person


def without_login(database: Database, roster: Roster) -> list[str]:
    """Names of those who may sign and cannot log in here."""
    known = {one.name for one in list_users(database) if person_of(one, roster)}
    return [name for name in roster.active if name not in known]


def describe_lack(names: list[str]) -> str:
    """How people who have a key on another machine come to a login on this one."""
    several = ", ".join(names)
    return (
        f"{several}: expected a login on this machine, found none; copy "
        ".reviews/keys/NAME.json here from the machine that has it, if need be, and "
        "run `segpipe review users password NAME`"
    )


def person_of(user: User, roster: Roster) -> Person | None:
    """Whose login it is; none if the key was revoked or never enrolled."""
    person = roster.active.get(user.name)
    return person if person and person.fingerprint == user.key else None


def check_password(
    database: Database, name: str, password: str, roster: Roster
) -> User | None:
    """The login of a name and password; None if they are wrong or it is locked.

    After TRIES wrong passwords no password is tried for a while, also no right one. An
    unknown name takes as long as a known one.
    """
    with database.begin() as session:
        user = session.scalar(select(User).where(User.name == name))
        right = is_password(password, user.password if user else None)
        if user is None or person_of(user, roster) is None:
            return None
        if user.locked_until is not None and utc_now() < user.locked_until:
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
            user.failures, user.locked_until = 0, utc_now() + LOCKED
        return None


def _set_login(database: Database, person: Person, password: str) -> None:
    """Make or renew the login of a key; all its sessions end."""
    hashed = hash_password(password)
    with database.begin() as session:
        user = session.scalar(select(User).where(User.name == person.name))
        if user is None:
            user = User(name=person.name, key="", password="", made=utc_now())
            session.add(user)
        user.key, user.password = person.fingerprint, hashed
        user.failures, user.locked_until = 0, None
        session.flush()
        session.execute(delete(Login).where(Login.user_id == user.id))
