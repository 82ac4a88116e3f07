"""messages: the broker of Prefect's server, which waits while SQLite is busy.

Prefect's own broker in memory hands a message that its reader refused back at once, and
gives it up at the fourth refusal. SQLite refuses a transaction that reads before it
writes, without waiting, if another one has written in between; on a busy machine four
refusals take a tenth of a second. Then Prefect never counts, for example, that a run
has ended. Here a reader tries again after pauses that double, before it refuses.
"""

import asyncio

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import (
    Publisher,
    break_topic,
    ephemeral_subscription,
)
from sqlalchemy.exc import OperationalError

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

PAUSES = tuple(0.05 * 2**k for k in range(6))  # s, 3.2 s together


class Consumer(memory.Consumer):
    """Reader of Prefect's messages that outlasts a busy database."""

    async def run(self, handler: MessageHandler) -> None:
        """Hand each message to the handler, again while the database is busy."""

        async def patiently(message: Message) -> None:
            for pause in PAUSES:
                try:
                    return await handler(message)
                except OperationalError:
                    await asyncio.sleep(pause)
            await handler(message)

        await super().run(patiently)
