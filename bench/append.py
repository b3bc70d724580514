"""G1: foreign events into the log and the outbox, against COPY of the same rows into the same layout."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

import asyncpg

from bench.append_process import Appending, appending_processes
from bench.events import BATCH_EVENTS, Batch, batches, native, row
from bench.figures import show
from bench.write_side import Standing, WriteSide, lanes, produce, timed, write_side
from engine.write.desk import WRITERS

CEILING = """
drop schema if exists ceiling cascade;
create schema ceiling;
create table ceiling.event (like playlog.event including all) partition by range (execution_id);
do $$
declare
    leaf record;
begin
    for leaf in
        select c.relname, pg_get_expr(c.relpartbound, c.oid) as bounds
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'playlog.event'::regclass
    loop
        execute format('create table ceiling.%I partition of ceiling.event %s', leaf.relname, leaf.bounds);
    end loop;
end
$$
"""
ROWS = "select * from playlog.event where execution_id = any($1::bigint[]) order by recorded_at"

Lanes = list[list[Batch]]


async def run(*, quick: bool) -> None:
    """Print events a second of COPY, of rows and of native events, in rounds that alternate.

    One process has both writers, as the internal API has; the last figure is that of two with one each.
    """
    rounds, count = (3, 10) if quick else (7, 30)
    projected, materialized, copied, apart = [], [], [], []
    async with (
        write_side() as side,
        _connections(side.url) as connections,
        appending_processes(side.url, count) as processes,
    ):
        await _project(side, _rows(4))
        for _ in range(rounds):
            sent = _rows(count)
            projected.append(await _project(side, sent))
            copied.append(await _copy(side, connections, sent))
            materialized.append(await _materialize(side, _rows(count)))
            apart.append(await _project_apart(side, processes, sent))
    ceiling = median(copied)
    show("append.copy", copied, "events/s")
    show("append", projected, "events/s", ratio_to=ceiling)
    show("append.native", materialized, "events/s", ratio_to=ceiling)
    show("append.processes", apart, "events/s", ratio_to=ceiling)


def _rows(count: int) -> Lanes:
    return [batches(count, lane % WRITERS) for lane in lanes()]


async def _project(side: WriteSide, sent: Lanes) -> float:
    before = await side.standing()
    seconds = await timed([produce(side.intake.project, lane) for lane in sent])
    return await _rate(side, before, sent, seconds)


async def _project_apart(side: WriteSide, processes: Appending, like: Lanes) -> float:
    """As many rows as `like` has, each writer in a process of its own."""
    await processes.tell("ready")
    before = await side.standing()
    seconds = await timed([processes.tell("append")])
    return await _rate(side, before, like, seconds)


async def _materialize(side: WriteSide, sent: Lanes) -> float:
    """Native events of executions that are known: what opens one is not timed."""
    for lane in sent:
        executions = {event["execution_id"] for batch in lane for event in batch}
        await produce(side.intake.project, [[row(execution_id) for execution_id in executions]])
    worded = [[[native(event) for event in batch] for batch in lane] for lane in sent]
    before = await side.standing()
    seconds = await timed([produce(side.intake.materialize, lane) for lane in worded])
    return await _rate(side, before, sent, seconds)


async def _copy(side: WriteSide, connections: Sequence[asyncpg.Connection], sent: Lanes) -> float:
    """COPY what these batches became, in transactions of the same size."""
    await side.connection.execute(CEILING)
    lanes = [await _recorded(side, sent[place::WRITERS]) for place in range(WRITERS)]
    seconds = await timed(
        [_copy_all(connection, lane) for connection, lane in zip(connections, lanes, strict=True)]
    )
    events = sum(len(lane) for lane in lanes)
    if await side.connection.fetchval("select count(*) from ceiling.event") != events:
        raise AssertionError(f"{events} copied rows were expected")
    return events / seconds


async def _recorded(side: WriteSide, lanes: Lanes) -> list[tuple[object, ...]]:
    executions = {event["execution_id"] for lane in lanes for batch in lane for event in batch}
    return [tuple(each) for each in await side.connection.fetch(ROWS, list(executions))]


async def _copy_all(connection: asyncpg.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    for start in range(0, len(rows), BATCH_EVENTS):
        records = rows[start : start + BATCH_EVENTS]
        await connection.copy_records_to_table("event", schema_name="ceiling", records=records)


async def _rate(side: WriteSide, before: Standing, sent: Lanes, seconds: float) -> float:
    events = sum(len(batch) for lane in sent for batch in lane)
    after = await side.standing()
    if after.events - before.events != events or after.outbox <= before.outbox:
        raise AssertionError(f"{events} events and their messages were expected")
    return events / seconds


@asynccontextmanager
async def _connections(url: str) -> AsyncIterator[Sequence[asyncpg.Connection]]:
    connections = [await asyncpg.connect(url, timeout=10, command_timeout=60) for _ in range(WRITERS)]
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()
