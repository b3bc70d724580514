"""What is live: open streams, those who follow a log or its lines, and the feed of all events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from engine.errors import NotFound, PlaylogError, Purged
from engine.read import step_logs, tails
from engine.read.tails import Tail
from engine.runtime.bus import OpenTail
from engine.runtime.database import Pool, checkout
from engine.runtime.settings import PublicApiSettings
from public_api.event_source import EventSources
from public_api.feed import Feed
from public_api.tail_reader import Place, TailReader
from public_api.watch import Levels, Watch

AGAIN_SECONDS = (0.5, 1.5)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the routes of streams share; `recorded` knows of new events, `logged` of new lines."""

    sources: EventSources
    recorded: Watch
    logged: Watch
    tails: TailReader
    feed: Feed


@asynccontextmanager
async def open_live(settings: PublicApiSettings, pool: Pool, open_tail: OpenTail) -> AsyncIterator[Live]:
    """Everything for the block; `open_tail` reads the stream of all events."""

    async def after(places: Iterable[Place]) -> Mapping[Place, Tail]:
        async with checkout(pool) as connection:
            return await tails.after(connection, places)

    reader = TailReader(after)
    try:
        yield Live(
            sources=EventSources(settings.max_streams, settings.stream_write_timeout),
            recorded=Watch(recorded_levels(pool)),
            logged=Watch(_logged_levels(pool)),
            tails=reader,
            feed=Feed(open_tail, settings.stream_buffer_bytes),
        )
    finally:
        await reader.close()


def projected_levels(pool: Pool) -> Levels:
    """The versions of snapshots."""

    async def levels(execution_ids: Sequence[int]) -> Mapping[int, int]:
        async with checkout(pool) as connection:
            return await tails.projected(connection, execution_ids)

    return levels


def recorded_levels(pool: Pool) -> Levels:
    """The versions of logs."""

    async def levels(execution_ids: Sequence[int]) -> Mapping[int, int]:
        async with checkout(pool) as connection:
            return await tails.recorded(connection, execution_ids)

    return levels


def _logged_levels(pool: Pool) -> Levels:
    async def levels(execution_ids: Sequence[int]) -> Mapping[int, int]:
        async with checkout(pool) as connection:
            return await step_logs.logged(connection, execution_ids)

    return levels


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What is read; what is away or busy is asked again until it answers.

    Raises `NotFound` and `Purged`.
    """
    while True:
        try:
            return await read()
        except (NotFound, Purged):
            raise
        except PlaylogError:
            await asyncio.sleep(random.uniform(*AGAIN_SECONDS))  # noqa: S311 - spreads load, guards nothing
