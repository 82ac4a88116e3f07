"""Sessions: which browser is whose, until it logs out or is idle for too long."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, or_

from segpipe.approval.people import Person, Roster
from segpipe.approval.policy import utc_now
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import Login, User
from segpipe.review.accounts.users import person_of

IDLE = timedelta(hours=2)  # a hard case takes long, and its page asks for nothing
LONGEST = timedelta(hours=12)


@dataclass(frozen=True)
class Visitor:
    """Who sends a request, and in which session.

    Attributes:
        user: The person's login.
        person: Who it is, as the chain says now.
        csrf: The token that the session's forms carry.
        token: Digest of the session's token, by which the database knows it.
    """

    user: User
    person: Person
    csrf: str
    token: str

    def may(self, *roles: str) -> bool:
        """Whether the person has one of the roles."""
        return bool({*roles} & {*self.person.roles})


def open_session(database: Database, user: User) -> str:
    """Begin a session; the token is for the browser's cookie alone."""
    token = secrets.token_urlsafe(32)
    start = utc_now()
    ended = or_(Login.seen < start - IDLE, Login.made < start - LONGEST)
    with database.begin() as session:
        session.execute(delete(Login).where(ended))
        session.add(
            Login(
                token=_digest(token),
                user_id=user.id,
                csrf=secrets.token_urlsafe(32),
                made=start,
                seen=start,
            )
        )
    return token


def find_visitor(database: Database, token: str, roster: Roster) -> Visitor | None:
    """Who has this token; None if its session has ended or never was.

    A session also ends when the chain revokes the person's key.
    """
    time = utc_now()
    with database.begin() as session:
        login = session.get(Login, _digest(token))
        if login is None or time - login.made > LONGEST or time - login.seen > IDLE:
            return None
        if time - login.seen > timedelta(minutes=1):  # not a write for each picture
            login.seen = time
        user = session.get_one(User, login.user_id)
        person = person_of(user, roster)
        if person is None:
            return None
        return Visitor(user, person, login.csrf, login.token)


def close_session(database: Database, visitor: Visitor) -> None:
    """End a session."""
    with database.begin() as session:
        session.execute(delete(Login).where(Login.token == visitor.token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
