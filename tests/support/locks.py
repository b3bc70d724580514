"""Which locks the statements of a transaction take, and in which order: asked of the server itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from engine.runtime.database import SessionlessConnection
from sql import queries

LOCKED = """
select c.relname
from pg_locks l
join pg_class c on c.oid = l.relation
where l.pid = pg_backend_pid() and c.relnamespace = 'playlog'::regnamespace and c.relkind in ('r', 'p')
    and l.mode <> 'AccessShareLock'
"""
ORDER = (
    *("the migrations' lock", "a playbook's lock", "the partitions' lock", "the retention's lock"),
    *("definition", "playbook", "playbook_version"),
    *("schedule", "idempotency", "execution", "the concurrency keys' locks", "event", "payload", "retention"),
    *("command", "timer", "delivery"),
    *("shard", "outbox", "outbox_dead", "audit"),
    *("snapshot", "incident", "background_pass", "runtime", "step_log"),
)
"""Every table in the order in which a transaction may wait for its rows, after the advisory locks."""
COPY = "COPY"
DETACH = "DETACH"
WITHIN = {
    "migration.try_lock": {"the migrations' lock"},
    "catalog.lock_playbook": {"a playbook's lock"},
    "partitions.try_lock": {"the partitions' lock"},
    "partitions.wait_lock": {"the partitions' lock"},
    "partitions.add": {"event", "payload", "step_log"},
    "permits.lock": {"the concurrency keys' locks"},
    "retention.lock": {"the retention's lock"},
    "retention.stop_inserts": {"event"},
    "retention.stop_readers": {"event"},
    "retention.empty": {"event"},
    "retention.drop_detached": {"event", "payload", "step_log"},
    DETACH: {"event", "payload", "step_log"},
    COPY: {"event"},
}
"""Locks that parsing does not show: advisory ones, those taken inside functions, by COPY and by DETACH."""
EARLIER = {"append.lock_deliveries": "execution"}
"""Statements that come earlier than their table: the carried delivery goes with the head of its target."""
HELD = {
    "append.record": {"execution": "append.lock_heads"},
    "append.move_deadlines": {"execution": "append.lock_heads"},
    "append.drop_deliveries": {"delivery": "append.lock_deliveries"},
    "append.release_keys": {"idempotency": "append.claim_keys"},
    "shards.served": {"shard": "shards.lock"},
    "shards.checkpoint": {"shard": "shards.lock"},
    "retention.empty": {"event": "retention.stop_readers"},
    "partitions.add": dict.fromkeys(("event", "payload", "step_log"), "partitions.limit_waiting"),
}
"""By statement the tables in which it waits for nobody, because of one that must have come before it.

That one has locked its rows, or has set a limit of 50 ms to every wait: then nobody waits in a circle.
"""
FRESH = {
    "append.record": {"outbox": "the sequence numbers its rows, which nobody sees before the COMMIT"},
    "audit.note": {"audit": "the sequence numbers its rows, which nobody sees before the COMMIT"},
}
"""By statement the tables into which it only inserts what has no key in common with anybody's rows, with why.

It waits for nobody there, and nobody for it.
"""
DETACHING = re.compile(r"alter table playlog\.\w+ detach partition ")
ADVISORY = re.compile(r"pg_(try_)?advisory_(xact_)?lock")
RAN = """
select p.proname from pg_proc p join pg_language l on l.oid = p.prolang
where p.pronamespace = 'playlog'::regnamespace and l.lanname = 'plpgsql'
"""


def statements() -> dict[str, str]:
    """The text of every statement of the product by its name, `noun.name`."""
    return {
        f"{noun}.{name}": getattr(queries.load(noun), name)
        for noun in queries.nouns()
        for name in queries.load(noun)
    }


async def locked_tables(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """By statement: the tables whose rows it locks, inserts, changes or deletes; none for a mere reader.

    Parsing a statement locks its tables, and keeps the locks to the end of the transaction.
    """
    found = {}
    for name, text in statements().items():
        transaction = connection.transaction()
        await transaction.start()
        await connection.prepare(text)
        found[name] = {row["relname"] for row in await connection.fetch(LOCKED)}
        await transaction.rollback()
    return {name: found.get(name, set()) | WITHIN.get(name, set()) for name in found.keys() | WITHIN.keys()}


async def locking_within(connection: asyncpg.Connection) -> set[str]:
    """The statements that may lock what parsing them does not show."""
    functions = [f"playlog.{row['proname']}(" for row in await connection.fetch(RAN)]
    return {
        name
        for name, text in statements().items()
        if ADVISORY.search(text) or any(function in text for function in functions)
    }


def offences(transaction: Sequence[str], locks: Mapping[str, set[str]]) -> list[str]:
    """Where a transaction may wait for a lock that comes before one it holds, or lacks one it should hold."""
    texts, found, reached, holder = statements(), [], -1, ""
    for number, name in enumerate(transaction):
        held, fresh = HELD.get(name, {}), FRESH.get(name, {})
        found += [f"{name} without {each}" for each in {*held.values()} - {*transaction[:number]}]
        places = {table: ORDER.index(EARLIER.get(name, table)) for table in locks[name] - fresh.keys()}
        if _waits(texts.get(name, "")) and any(places[table] < reached for table in places.keys() - held):
            found.append(f"{name} after {holder}")
        if max(places.values(), default=-1) > reached:
            reached, holder = max(places.values()), name
    return found


def _waits(text: str) -> bool:
    return "skip locked" not in text and "pg_try_advisory" not in text


@dataclass(slots=True)
class Record:
    """Every transaction that recording connections have carried out, as the names of its statements."""

    names: dict[str, str] = field(default_factory=lambda: {text: name for name, text in statements().items()})
    transactions: set[tuple[str, ...]] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)

    @property
    def seen(self) -> set[str]:
        """The statements that were carried out."""
        return {name for transaction in self.transactions for name in transaction}


class RecordingConnection(SessionlessConnection):
    """Takes part in a record with all its statements."""

    record: Record
    _open: list[str] | None = None

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        self._note(query)
        return await super().execute(query, *args, **more)

    async def fetch(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> list[asyncpg.Record]:
        self._note(query)
        return await super().fetch(query, *args, **more)

    async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any:
        self._note(query)
        return await super().fetchrow(query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        self._note(query)
        return await super().fetchval(query, *args, **more)

    async def copy_records_to_table(self, table_name: str, **more: Any) -> str:
        assert table_name in WITHIN[COPY]
        self._keep(COPY)
        return await super().copy_records_to_table(table_name, **more)

    def _note(self, query: str) -> None:
        if query.startswith("BEGIN"):
            self._open = []
        elif query.startswith(("COMMIT", "ROLLBACK;")):
            self.record.transactions.add(tuple(self._open or ()))
            self._open = None
        elif query in self.record.names:
            self._keep(self.record.names[query])
        elif DETACHING.match(query):
            self._keep(DETACH)
        elif "playlog." in query:
            self.record.strangers.add(query)

    def _keep(self, name: str) -> None:
        if self._open is None:
            self.record.transactions.add((name,))
        else:
            self._open.append(name)


def recording(record: Record) -> type[RecordingConnection]:
    """A connection class of its own, so that the records of two tests never meet."""
    return type("RecordedConnection", (RecordingConnection,), {"record": record})
