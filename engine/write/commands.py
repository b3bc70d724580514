"""Commands: claim, extend, settle, release. Only settling touches the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from engine.domain.admit import Admission, Origin, Verdict, rejected
from engine.domain.events import NewEvent, iso
from engine.domain.ids import derive_id
from engine.domain.vocabulary import EVENT_STATUS, EventType
from engine.write.executions import Checkout, engine_event
from engine.write.refusals import gravest, refusal_of
from engine.write.requests import Outcome, Request
from engine.write.store import columns
from engine.write.writer import Appender
from sql import queries

SQL = queries.load("commands")

LONG_ATTEMPT_SECONDS = 5.0
UNKNOWN_COMMAND = rejected("unknown_command", "there is no such command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A command in a worker's hands until `leased_until`; `input` is JSON, `timeout` seconds.

    `handles` is a JSON list of the places in the input where a reference stands for its payload, `deferred`
    of those where an expression stands that the worker evaluates.
    """

    command_id: int
    execution_id: int
    step: str
    item: int | None
    attempt: int
    tool: str
    input: bytes
    lease_token: int
    leased_until: datetime
    deadline: datetime
    timeout: float
    traceparent: str | None
    handles: bytes = b"[]"
    deferred: bytes = b"[]"
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's proof that it holds a command."""

    command_id: int
    lease_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of an attempt: an output, or an error `{code, message, ...}`.

    `payload_uri` is where an output is kept that is too large for the log; then there is no `value`.
    """

    lease: Lease
    succeeded: bool
    value: object
    payload_uri: str | None = None
    execution_id: int | None = None
    started_at: str | None = None


@dataclass(slots=True)
class Settled:
    """The verdict on each result, in order, and the new version of each execution."""

    verdicts: list[Admission] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)

    def count(self, verdict: Verdict) -> int:
        """How many results got this verdict."""
        return sum(admission.verdict is verdict for admission in self.verdicts)


@dataclass(slots=True)
class Beat:
    """What a heartbeat found: leases extended, commands closed meanwhile, leases no longer held.

    `claims` are to be recorded with `announce`: of attempts that run for some seconds, not in the log yet.
    """

    extended: list[Lease] = field(default_factory=list)
    cancelled: list[Lease] = field(default_factory=list)
    lost: list[Lease] = field(default_factory=list)
    claims: dict[Lease, Request] = field(default_factory=dict)


async def claim(
    connection: asyncpg.Connection,
    *,
    worker_id: str,
    pool: str,
    limit: int,
    lease_seconds: float,
    tools: Sequence[str] | None = None,
) -> list[Claimed]:
    """Up to `limit` due commands of a pool, highest priority and longest due first."""
    rows = await connection.fetch(
        SQL.claim, pool, worker_id, limit, lease_seconds, None if tools is None else list(tools)
    )
    rows.sort(key=lambda row: (-row["priority"], row["available_at"], row["command_id"]))
    return [
        Claimed(
            command_id=row["command_id"],
            execution_id=row["execution_id"],
            step=row["step"],
            item=row["item"],
            attempt=row["attempt"],
            tool=row["tool"],
            input=row["input"].encode(),
            lease_token=row["lease_token"],
            leased_until=row["leased_until"],
            deadline=row["deadline"],
            timeout=row["timeout_seconds"],
            traceparent=row["traceparent"],
            handles=b"[]" if row["handles"] is None else row["handles"].encode(),
            deferred=b"[]" if row["deferred"] is None else row["deferred"].encode(),
            idempotency_key=row["idempotency_key"],
        )
        for row in rows
    ]


async def settle(
    connection: asyncpg.Connection, appender: Appender, worker_id: str, results: Sequence[Result]
) -> Settled:
    """Record results; each is judged on its own and a late one is recorded as late."""
    unknown = [result.lease.command_id for result in results if result.execution_id is None]
    return await settle_owned(appender, worker_id, results, await executions_of(connection, unknown))


async def executions_of(connection: asyncpg.Connection, command_ids: Sequence[int]) -> dict[int, int]:
    """Which execution each command belongs to; unknown commands are left out."""
    rows = await connection.fetch(SQL.executions_of, list(command_ids)) if command_ids else []
    return {row["command_id"]: row["execution_id"] for row in rows}


async def settle_owned(
    appender: Appender, worker_id: str, results: Sequence[Result], owners: Mapping[int, int]
) -> Settled:
    """Record results whose executions are known: from the result itself, else from `owners`.

    What can never be recorded is rejected in its place. Any other error is raised after all have ended, and
    the same results may be sent again: what was recorded is a duplicate then.
    """
    settled = Settled([UNKNOWN_COMMAND] * len(results))
    places, requests = [], []
    failures: list[BaseException] = []
    for place, result in enumerate(results):
        execution_id = result.execution_id or owners.get(result.lease.command_id)
        if execution_id is not None:
            places.append(place)
            event = _result_event(worker_id, result)
            requests.append(Request(execution_id=execution_id, events=(event,)))
    for place, outcome in zip(places, await appender.submit_each(requests), strict=True):
        if isinstance(outcome, Outcome):
            (settled.verdicts[place],) = outcome.verdicts
            version = settled.versions.get(outcome.execution_id, 0)
            settled.versions[outcome.execution_id] = max(version, outcome.version)
            continue
        refusal = refusal_of(outcome)
        if refusal is None:
            failures.append(outcome)
        else:
            settled.verdicts[place] = refusal
    if failures:
        raise gravest(failures)
    return settled


def _result_event(worker_id: str, result: Result) -> NewEvent:
    kind = EventType.COMMAND_COMPLETED if result.succeeded else EventType.COMMAND_FAILED
    meta: dict[str, object] = {"worker_id": worker_id}
    if result.started_at is not None:
        meta["started_at"] = result.started_at
    status = EVENT_STATUS[kind]
    said: dict[str, object] = {"data": result.value}
    if result.payload_uri is not None:
        said = {"reference": {"kind": "ref", "uri": result.payload_uri}}
    return NewEvent(
        event_type=kind.value,
        status=status,
        payload={"status": status, **said},
        meta=meta,
        command_id=result.lease.command_id,
        lease_token=result.lease.lease_token,
    )


async def extend(connection: asyncpg.Connection, leases: Sequence[Lease], lease_seconds: float) -> Beat:
    """Extend leases, and find the attempts whose claim the log is to learn of."""
    beat = Beat()
    if not leases:
        return beat
    pairs = [(lease.command_id, lease.lease_token) for lease in leases]
    rows = await connection.fetch(SQL.extend, *columns(pairs), lease_seconds, LONG_ATTEMPT_SECONDS)
    extended = {Lease(row["command_id"], row["lease_token"]) for row in rows}
    beat.extended = [lease for lease in leases if lease in extended]
    missing = [lease for lease in leases if lease not in extended]
    if missing:
        await _explain(connection, missing, beat)
    beat.claims = {
        Lease(row["command_id"], row["lease_token"]): _claimed_request(row)
        for row in rows
        if row["first_beat"]
    }
    return beat


async def announce(checkout: Checkout, appender: Appender, claims: Mapping[Lease, Request]) -> None:
    """Record `command.claimed` for long attempts; where that fails for now, their next beats try again.

    No connection is held during the append.
    """
    outcomes = await appender.submit_each(list(claims.values()))
    done = [
        (lease.command_id, lease.lease_token)
        for lease, outcome in zip(claims, outcomes, strict=True)
        if isinstance(outcome, Outcome) or refusal_of(outcome) is not None
    ]
    if done:
        async with checkout() as connection:
            await connection.execute(SQL.announced, *columns(done))


async def _explain(connection: asyncpg.Connection, missing: Sequence[Lease], beat: Beat) -> None:
    rows = await connection.fetch(SQL.states, [lease.command_id for lease in missing])
    found = {row["command_id"]: row for row in rows}
    for lease in missing:
        row = found.get(lease.command_id)
        ours = row is not None and row["lease_token"] == lease.lease_token and row["state"] == "closed"
        (beat.cancelled if ours else beat.lost).append(lease)


def _claimed_request(row: asyncpg.Record) -> Request:
    claimed_at = iso(row["claimed_at"])
    event = NewEvent(
        event_type=EventType.COMMAND_CLAIMED.value,
        status=EVENT_STATUS[EventType.COMMAND_CLAIMED],
        event_id=derive_id("claimed", row["command_id"], claimed_at),
        step=row["step"],
        item=row["item"],
        attempt=row["attempt"],
        command_id=row["command_id"],
        payload={"worker_id": row["worker_id"], "claimed_at": claimed_at, "deadline": iso(row["deadline"])},
    )
    return Request(execution_id=row["execution_id"], events=(event,), origin=Origin.ENGINE)


async def release(connection: asyncpg.Connection, leases: Sequence[Lease]) -> dict[str, int]:
    """Hand commands back unfinished; returns by pool how many were still held."""
    if not leases:
        return {}
    pairs = [(lease.command_id, lease.lease_token) for lease in leases]
    return Counter(row["pool"] for row in await connection.fetch(SQL.release, *columns(pairs)))


async def seconds_to_next(
    connection: asyncpg.Connection, pool: str, tools: Sequence[str] | None = None
) -> float | None:
    """Seconds until a command of the pool is due, at most zero when one is; None: there is none."""
    wanted = None if tools is None else list(tools)
    seconds: float | None = await connection.fetchval(SQL.seconds_to_next, pool, wanted)
    return seconds


async def expired(connection: asyncpg.Connection, limit: int) -> list[Request]:
    """Appends that expire leases which have run out; each is judged again under its head."""
    rows = await connection.fetch(SQL.expired, limit)
    return [
        Request(
            execution_id=row["execution_id"],
            events=(engine_event(EventType.COMMAND_EXPIRED, None, command_id=row["command_id"]),),
            origin=Origin.ENGINE,
        )
        for row in rows
    ]


async def pending_counts(
    connection: asyncpg.Connection, pool: str | None = None
) -> dict[str, dict[str, float | int | None]]:
    """Per pool: `pending`, `in_flight`, `backlog` (both), `oldest_age_seconds`."""
    rows = await connection.fetch(SQL.pending_counts, pool)
    return {
        row["pool"]: {
            "pending": row["pending"],
            "in_flight": row["in_flight"],
            "backlog": row["pending"] + row["in_flight"],
            "oldest_age_seconds": row["oldest_age_seconds"],
        }
        for row in rows
    }
