"""Database: opens the accounts' database, in a file or on a PostgreSQL server."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths, sqlite_file, sqlite_uri

ADDRESS = "SEGPIPE_REVIEW_DATABASE"  # of a PostgreSQL server; a password may be in it

# Two processes that open a new database at once make its tables one after the other.
ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(8010)",
}
PATIENCE_S = 30  # wait so long for another that writes into the file
PAUSE_S = 0.02


class Database:
    """The accounts' database at its newest layout."""

    def __init__(self, engine: Engine) -> None:
        """Use an engine whose database has the newest layout."""
        self.engine = engine

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A transaction: all of it is stored at the end of the block, or none."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def address_of(paths: Paths) -> str:
    """Where the accounts are: SEGPIPE_REVIEW_DATABASE, else a file of the project."""
    return os.environ.get(ADDRESS) or sqlite_uri(paths.root / ".reviews/accounts.db")


def open_database(address: str) -> Database:
    """Open a database, create it if need be, and bring its tables up to date.

    Raises:
        DataError: If it cannot be opened, or a newer segpipe made its tables.
    """
    try:
        engine = _create_engine(address)
        with engine.begin() as connection:
            if alone := ALONE.get(engine.dialect.name):
                connection.exec_driver_sql(alone)
            upgrade(connection)
    except (ArgumentError, DBAPIError, ModuleNotFoundError) as error:
        reason = str(getattr(error, "orig", error)).strip().split("\n")[0]
        raise DataError(
            f"{ADDRESS}: expected the address of a database that answers, such as "
            f"postgresql+psycopg://HOST/NAME, found: {reason}; start the server, "
            "install its driver (`pip install 'psycopg[binary]'`), or mend the address"
        ) from None  # the error itself would show the address with its password
    except CommandError as error:  # none of the steps in migrations/ leads there
        raise DataError(
            "the accounts' database: expected the tables of this segpipe or of an "
            f"older one, found those of a newer one ({error}); install the newer "
            "segpipe, or put back the backup that was made before it"
        ) from error
    return Database(engine)


def upgrade(connection: Any, revision: str = "head") -> None:
    """Bring the tables of an open connection to a layout, the newest by default."""
    command.upgrade(_config(connection), revision)


def downgrade(connection: Any, revision: str) -> None:
    """Take the tables of an open connection back to an older layout."""
    command.downgrade(_config(connection), revision)


def _config(connection: Any) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


def _create_engine(address: str) -> Engine:
    if not address.startswith("sqlite"):
        return create_engine(address, pool_pre_ping=True)
    file = sqlite_file(address)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.chmod(0o600)  # it holds hashes of passwords
    engine = create_engine(address, connect_args={"timeout": PATIENCE_S})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    _let_readers_read(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _let_readers_read(connection: sqlite3.Connection) -> None:
    """Keep a log of writes, so that readers do not wait for a writer.

    SQLite waits for other connections in all else, but here it answers "database is
    locked" at once while another one writes, such as one that opens a new database
    at the same time.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > end:
                raise
        time.sleep(PAUSE_S)
