"""Which locks the statements of a transaction take, and in which order: asked of the server itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    *("definition", "playbook", "playbook_version"),
    *("schedule", "idempotency", "execution", "event", "concurrency", "command", "timer", "delivery"),
    *("shard", "outbox", "outbox_dead"),
    *("snapshot", "incident", "background_pass", "runtime", "step_log"),
)
"""Every table in the order in which a transaction may wait for its rows."""
EARLIER = {"append.lock_deliveries": "execution"}
"""Statements that come earlier than their table: the carried delivery goes with the head of its target."""
HELD = {
    "append.insert_heads": "a head is new with its first event, which comes before it",
    "append.update_heads": "the heads are locked since append.lock_heads",
    "append.drop_deliveries": "the rows are locked since append.lock_deliveries",
    "append.release_keys": "the keys were claimed by append.claim_keys",
    "shards.served": "the shards are owned since shards.lock",
    "shards.checkpoint": "the shards are owned since shards.lock",
}
"""Statements that wait for nobody, because their rows are the transaction's own already."""


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
    return found


def offences(transaction: Iterable[str], locks: Mapping[str, set[str]]) -> list[str]:
    """Where a transaction may wait for a lock that comes before one it holds."""
    texts, found, reached, holder = statements(), [], -1, ""
    for name in transaction:
        places = [ORDER.index(EARLIER.get(name, table)) for table in locks[name]]
        waits = name not in HELD and "skip locked" not in texts[name]
        found += [f"{name} after {holder}" for place in places if waits and place < reached]
        if places and max(places) > reached:
            reached, holder = max(places), name
    return found


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

    def _note(self, query: str) -> None:
        if query.startswith("BEGIN"):
            self._open = []
        elif query.startswith(("COMMIT", "ROLLBACK;")):
            self.record.transactions.add(tuple(self._open or ()))
            self._open = None
        elif query in self.record.names:
            self._keep(self.record.names[query])
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
