"""What the routes share, handed to them by the application."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from aiohttp import web

from engine.runtime.announcer import Announcer
from engine.runtime.database import Connection, Pool, checkout
from engine.write.after_commit import Send
from engine.write.desk import Desk
from engine.write.materialize import Intake
from internal_api.bell import Bell

UPLOADS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The database, the write side, those who wait for commands, and the wakes of others.

    `projected` announces new snapshots, `logged` new lines, `send` any other wake. `uploads` bounds the large
    bodies in memory.
    """

    pool: Pool
    desk: Desk
    intake: Intake
    bell: Bell
    projected: Announcer
    logged: Announcer
    send: Send
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))

    def borrow(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a block; database errors leave it as ours."""
        return checkout(self.pool)


API: web.AppKey[Api] = web.AppKey("api", Api)
BASE = "/api/internal"
