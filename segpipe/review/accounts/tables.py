"""Tables: what the database of the review holds."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {  # so that a later step can name what it changes, in every database
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}
DIGEST = String(64)  # SHA-256, in hexadecimal


class Moment(TypeDecorator[datetime]):
    """A time in UTC; SQLite stores times without their zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Store a time in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Give back a time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value


class Table(DeclarativeBase):
    """A row of one of the tables."""

    metadata = MetaData(naming_convention=NAMES)


class User(Table):
    """The login of a person; the chain says who that is, with which roles.

    Attributes:
        name: What is typed to log in: the name of the key.
        key: Fingerprint of the key; the login ends when the key is revoked.
        password: Argon2id hash of the key's password, with its salt and costs.
        failures: Wrong passwords since the last right one.
        locked_until: Until when no password is tried.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), unique=True)
    key: Mapped[str] = mapped_column(DIGEST)
    password: Mapped[str] = mapped_column(String(200))
    made: Mapped[datetime] = mapped_column(Moment)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(Moment)


class Login(Table):
    """A session of a browser.

    Attributes:
        token: SHA-256 of the token in the browser's cookie, which is stored nowhere.
        csrf: The token that the forms of this session carry.
    """

    __tablename__ = "logins"

    token: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    made: Mapped[datetime] = mapped_column(Moment)
    seen: Mapped[datetime] = mapped_column(Moment)


class Assignment(Table):
    """An item of a dossier that a person is to read.

    Attributes:
        dossier: SHA-256 of dossier.json.
        item: The item's opaque id.
        place: The item's place in this person's queue.
        purpose: ``read`` or ``adjudicate``.
        opened: When the person first saw it.
    """

    __tablename__ = "assignments"
    __table_args__ = (UniqueConstraint("dossier", "item", "user_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dossier: Mapped[str] = mapped_column(DIGEST, index=True)
    item: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    place: Mapped[int]
    purpose: Mapped[str] = mapped_column(String(16))
    opened: Mapped[datetime | None] = mapped_column(Moment)


class StoredReading(Table):
    """What a person said about one item; final once it is signed.

    Attributes:
        ratings: Letter, structure, then score (1 to 4; null if the structure cannot be
            judged), artefact and comment.
        seconds: Time at work on the item, without idle time.
        record: Number of the signed record; null until it is signed.
    """

    __tablename__ = "readings"

    assignment_id: Mapped[int] = mapped_column(
        ForeignKey("assignments.id"), primary_key=True
    )
    ratings: Mapped[dict[str, Any]] = mapped_column(JSON)
    seconds: Mapped[float]
    made: Mapped[datetime] = mapped_column(Moment)
    signed: Mapped[datetime | None] = mapped_column(Moment)
    record: Mapped[int | None]
