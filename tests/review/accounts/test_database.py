"""The database opens in a file or on a server, and keeps its secrets."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import httpx
import pytest

from segpipe.approval.chain.verification import verify
from segpipe.approval.policy import utc_now
from segpipe.approval.records import Reading
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.accounts.assignments import list_tasks
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.accounts.tables import User
from segpipe.review.accounts.users import TRIES
from tests.support.readers import (
    PASSWORD,
    Review,
    log_in,
    member,
    open_review,
    send,
    served,
    stranger,
)
from tests.support.servers import postgres_server

T = TypeVar("T")


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


def test_a_new_file_that_another_writes_into_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "accounts.db"
    with (
        closing(
            sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        ) as other,
        ThreadPoolExecutor() as pool,
    ):
        other.execute("CREATE TABLE mine (number)")
        other.execute("BEGIN IMMEDIATE")
        opened = pool.submit(open_database, f"sqlite:///{file}")
        assert not wait([opened], timeout=0.5).done
        other.execute("COMMIT")
        opened.result(timeout=30).close()

    with closing(sqlite3.connect(file)) as read:
        assert read.execute("PRAGMA journal_mode").fetchone() == ("wal",)


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


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server, with the driver that the docs name."""
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")
    with postgres_server(tmp_path_factory.mktemp("postgres") / "server") as address:
        yield address.replace("+asyncpg", "+psycopg")


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """What several threads give that act at the same time."""
    ready = Barrier(count, timeout=60)

    def wait_and_act(number: int) -> T:
        ready.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_act, range(count)))


OPEN = """\
import sys
from segpipe.review.accounts.database import open_database
print("ready", flush=True)
sys.stdin.readline()
open_database(sys.argv[1]).close()
"""


def open_first(address: str) -> list[int]:
    """The ends of three processes that open a new database at the same time."""
    words = [sys.executable, "-c", OPEN, address]
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    for one in started:
        one.communicate(timeout=60)
    return [one.returncode for one in started]


def live(review: Review) -> dict[str, Any]:
    """Two readers at once from their queues to their signatures; what is left of it."""
    people = ("jane", "john")
    for person in people:
        review.add(person, reads=False)
    users = {person: review.reader(person).user for person in people}
    at_once(6, lambda n: review.give(users[people[n % 2]]))
    clients = {person: member(review, person) for person in people}

    def read(number: int) -> list[int]:
        client: httpx.Client = clients[people[number % 2]]
        said = review.ratings(**{"score-A-1": str(number % 2 + 1)})
        return [send(client, review.item(place), **said) for place in range(3)]

    stored = at_once(4, read)
    at_once(
        4,
        lambda n: send(
            clients[people[n % 2]], f"{review.address}/sign", password=PASSWORD
        ),
    )
    wrong = at_once(
        TRIES, lambda _: log_in(stranger(review), "john", "a wrong password")
    )
    signed = [
        (one.signer, one.content.case, one.content.ratings["A"]["ball"].score)
        for one in verify(review.root).require_whole().records
        if isinstance(one.content, Reading)
    ]
    return {
        "queues": {
            person: [
                (task.assignment.place, task.assignment.item, task.is_signed)
                for task in list_tasks(review.database, user, review.volume.digest)
            ]
            for person, user in users.items()
        },
        "stored": stored,
        "signed": sorted(signed),
        "wrong": wrong,
        "locked": [log_in(stranger(review), person) for person in people],
    }


@pytest.mark.parametrize("where", ["file", "server"])
def test_two_readers_at_once_leave_the_same_in_a_file_and_on_a_server(
    tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    """Items are given by three at once; each reader has two tabs."""
    address = f"sqlite:///{tmp_path}/accounts.db"
    if where == "server":
        address = request.getfixturevalue("postgres")
    assert open_first(address) == [0, 0, 0]
    with served(open_review(tmp_path, database=address)) as review:
        found = live(review)

    items = sorted(review.volume.items)
    assert found["stored"] == [[303] * 3] * 4
    for own in found["queues"].values():
        assert sorted(item for _, item, _ in own) == items
        assert [place for place, _, _ in own] == [0, 1, 2]
        assert all(is_signed for _, _, is_signed in own)
    assert found["signed"] == [
        (person, item, score)
        for person, score in (("jane", 1), ("john", 2))
        for item in items
    ]
    assert found["wrong"] == [401] * TRIES
    assert found["locked"] == [303, 401]
