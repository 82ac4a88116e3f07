"""A message is not lost while another transaction keeps the database busy."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection
from types import ModuleType

import pytest
import sqlalchemy
from prefect.server.utilities.messaging import (
    BrokerModule,
    Message,
    StopConsumer,
    memory,
)
from sqlalchemy import Engine, event, text

from flows.services.databases import messages

READ = text("SELECT n FROM counted")
COUNT = text("UPDATE counted SET n = n + 1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    """A number in a database that is kept as Prefect keeps its own.

    Its connections write ahead, wait for 60 s and begin transactions themselves, as
    Prefect's ``AioSqliteConfiguration`` says.
    """
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'counted.db'}")

    def prepare(connection: Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "busy_timeout = 60000"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", lambda one: one.exec_driver_sql("BEGIN DEFERRED"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counted (n INTEGER, others INTEGER)"))
        connection.execute(text("INSERT INTO counted VALUES (0, 0)"))
    yield engine
    engine.dispose()


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(READ).scalar_one())


def deliver(broker: ModuleType, engine: Engine, home: Path, *, busy: int) -> int:
    """Send one message to a reader whose database is busy at its first tries.

    Returns:
        How often the reader tried.
    """
    tries = 0

    async def handler(message: Message) -> None:
        nonlocal tries
        tries += 1
        with engine.begin() as connection:
            connection.execute(READ)
            if tries <= busy:
                write_beside(engine)
            connection.execute(COUNT)
        raise StopConsumer(ack=True)

    async def run() -> None:
        topic = memory.Topic.by_name("counts")
        letters = topic.subscribe(dead_letter_queue_path=home / "dlq")
        consumer = broker.Consumer("counts", letters, concurrency=1)
        await broker.Publisher("counts", memory.Cache()).publish_data(b"one", {})
        reading = asyncio.create_task(consumer.run(handler))
        while not reading.done() and not list((home / "dlq").glob("*")):
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.cleanup()

    asyncio.run(run())
    return tries


def write_beside(engine: Engine) -> None:
    """Commit in another transaction, between the reading and the writing of one."""
    with engine.begin() as other:
        other.execute(text("UPDATE counted SET others = others + 1"))


@pytest.mark.parametrize("busy", [0, 1, 4])
def test_a_message_outlasts_a_busy_database(
    database: Engine, tmp_path: Path, busy: int
) -> None:
    tries = deliver(messages, database, tmp_path, busy=busy)

    assert (tries, count(database)) == (busy + 1, 1)
    assert not (tmp_path / "dlq").exists()


def test_prefects_own_broker_loses_it(database: Engine, tmp_path: Path) -> None:
    """When this fails, Prefect waits itself, and our broker may go."""
    tries = deliver(memory, database, tmp_path, busy=4)

    assert (tries, count(database)) == (4, 0)
    assert len(list((tmp_path / "dlq").iterdir())) == 1


def test_the_broker_is_one_to_prefect() -> None:
    assert isinstance(messages, BrokerModule)
