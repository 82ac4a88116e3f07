"""The database opens in a file or on a server, and keeps its secrets."""

import sqlite3
import stat
from pathlib import Path

import pytest

from segpipe.approval.policy import utc_now
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.accounts.tables import User


def test_the_file_is_made_for_its_owner_alone_and_opens_again(tmp_path: Path) -> None:
    address = address_of(Paths(tmp_path))
    open_database(address).close()
    file = tmp_path / ".reviews/accounts.db"
    user = User(name="jane", key="", password="", made=utc_now())
    with open_database(address).begin() as session:
        session.add(user)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sqlite3.connect(file).execute("select name from users").fetchall() == [
        ("jane",)
    ]


def test_a_transaction_that_fails_stores_nothing(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    user = User(name="jane", key="", password="", made=utc_now())

    def fail() -> None:
        with database.begin() as session:
            session.add(user)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with database.begin() as session:
        assert session.query(User).all() == []


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+nodriver://jane:open-sesame@127.0.0.1:1/x",
        "sqlite:////proc/no/such.db?open-sesame",
        "no address, open-sesame",
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(
    address: str,
) -> None:
    with pytest.raises((DataError, OSError)) as error:
        open_database(address)

    assert "open-sesame" not in str(error.value)


def test_the_database_of_a_newer_version_is_named_as_such(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/accounts.db"
    database = open_database(address)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99'")
    database.close()

    with pytest.raises(DataError, match=r"those of a newer one \(.*'v99'\)"):
        open_database(address)


def test_another_database_can_be_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEGPIPE_REVIEW_DATABASE", "postgresql+psycopg://db/review")

    assert address_of(Paths(tmp_path)) == "postgresql+psycopg://db/review"
