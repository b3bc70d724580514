"""The two servers a process needs: those it is given, or ones started here for as long as they are wanted."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.runtime.embedded.nats_server import EmbeddedNats
from engine.runtime.embedded.postgres_server import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from engine.runtime.embedded.binaries import Search


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Addresses, and the servers behind them where they were started here."""

    database_url: str
    nats_url: str
    postgres: EmbeddedPostgres | None
    nats: EmbeddedNats | None


@asynccontextmanager
async def embedded(
    home: Path, *, database_url: str | None, nats_url: str | None, search: Search | None = None
) -> AsyncIterator[Servers]:
    """Start what has no address, with its data in `home`, and stop it at the end.

    An address is passed on as it is, whatever it names; then nothing is started for it.
    Raises `Misconfigured` (no programs, wrong version, `home` in use) or `Unavailable` (ended at start).
    """
    async with AsyncExitStack() as stack:
        postgres = nats = None
        if database_url is None:
            postgres = EmbeddedPostgres(home, search=search)
            stack.push_async_callback(postgres.stop)
            await postgres.start()
        if nats_url is None:
            nats = EmbeddedNats(home, search=search)
            stack.push_async_callback(nats.stop)
            await nats.start()
        yield Servers(
            database_url=postgres.url if postgres else database_url or "",
            nats_url=nats.url if nats else nats_url or "",
            postgres=postgres,
            nats=nats,
        )
