"""The write side of one process: an appender, what follows its commits, and remembered definitions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from engine.write.after_commit import AfterCommit, DeliveryRole, Send
from engine.write.definitions import Definitions
from engine.write.executions import Checkout
from engine.write.writer import Appender, Connect, appending

WRITERS = 2


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands of `engine.write` need besides a connection.

    `deliveries` is a role to be run beside the desk, woken by `after.delivery_wake`.
    """

    appender: Appender
    after: AfterCommit
    deliveries: DeliveryRole
    definitions: Definitions = field(default_factory=Definitions)


@contextlib.asynccontextmanager
async def open_desk(
    connect: Connect, checkout: Checkout, send: Send, *, writers: int = WRITERS
) -> AsyncIterator[Desk]:
    """A desk whose writers each keep one connection; `send(topic, body)` carries wakes to other processes.

    What is queued when the block ends is refused, so end it after the last request has been answered.
    """
    after = AfterCommit(send)
    try:
        async with appending(connect, after, writers) as appender:
            yield Desk(appender, after, DeliveryRole(after, appender, checkout))
    finally:
        after.close()
