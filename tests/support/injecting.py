"""Faults that a second connection brings upon the appends of others while they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import asyncpg

from tests.support.eventually import eventually

STRIKES = """
create schema chaos;
create sequence chaos.wanted;
create sequence chaos.fired;
select nextval('chaos.fired');
create table chaos.next (sqlstate text);
insert into chaos.next values ('00000');
create function chaos.strike() returns trigger language plpgsql as $$
begin
    if (select last_value from chaos.wanted) > (select last_value from chaos.fired) then
        perform nextval('chaos.fired');
        if (select sqlstate from chaos.next) = '57P01' then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        raise exception 'struck by the test' using errcode = (select sqlstate from chaos.next);
    end if;
    return null;
end
$$;
create trigger strike after insert on playlog.event for each statement execute function chaos.strike();
"""
TERMINATED = "57P01"
"""This SQLSTATE is not raised: the backend is terminated."""
WAITING = """
select pid, query_start from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()
"""
SLOWEST_SECONDS = 20.0


@dataclass(slots=True)
class Injector:
    """Each method brings about one fault and returns when it has fired; sequences survive a rollback."""

    connection: asyncpg.Connection
    fired: int = 0

    async def raised(self, sqlstate: str) -> None:
        """The next append that writes events fails in the server with this SQLSTATE."""
        await self.connection.execute("update chaos.next set sqlstate = $1", sqlstate)
        before = await self._strikes()
        await self.connection.execute("select setval('chaos.wanted', $1 + 1)", before)

        async def check() -> None:
            assert await self._strikes() > before

        await eventually(check, timeout=SLOWEST_SECONDS)
        self.fired += 1

    async def locked_out(self) -> None:
        """All heads are locked until a statement that waits for them is given up."""
        async with self.connection.transaction():
            await self.connection.execute("lock table playlog.execution in exclusive mode")

            waiting = await eventually(self._waiting, timeout=SLOWEST_SECONDS)

            async def given_up() -> None:
                assert not waiting & set(await self.connection.fetch(WAITING))

            await eventually(given_up, timeout=SLOWEST_SECONDS)
        self.fired += 1

    async def _waiting(self) -> set[asyncpg.Record]:
        waiting = set(await self.connection.fetch(WAITING))
        assert waiting
        return waiting

    async def _strikes(self) -> int:
        return int(await self.connection.fetchval("select last_value from chaos.fired"))


Fault = Callable[[Injector], Awaitable[None]]


def raising(sqlstate: str) -> Fault:
    return partial(Injector.raised, sqlstate=sqlstate)
