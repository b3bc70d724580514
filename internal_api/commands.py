"""`/commands/*`: workers claim, settle, extend and hand back; autoscalers count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from engine.domain.admit import Verdict
from engine.domain.events import iso
from engine.runtime.http import json_response
from engine.write import commands
from engine.write.commands import Claimed, Lease, Settled
from engine.write.requests import Committed
from engine.write.workers import WorkerSeen, seen
from internal_api.api import API, Api
from internal_api.bodies import Fields, query_name, read_fields, read_query
from internal_api.results import Results, read_results

LONGEST_WAIT = 30.0
LEASE_SECONDS = 60.0
LEASE_BOUNDS = (1.0, 3600.0)
MOST_CLAIMED = 1_000
MOST_SLOTS = 1_000_000
NO_STORE = {"Cache-Control": "no-store"}

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOrder:
    """What a worker asks for."""

    worker_id: str
    pool: str
    limit: int
    lease_seconds: float = LEASE_SECONDS
    tools: Sequence[str] | None = None


@routes.post("/commands/claim")
async def claim(request: web.Request) -> web.Response:
    """Lease due commands of a pool; with none due, wait for the first up to `wait_seconds`."""
    fields = await read_fields(request)
    order = ClaimOrder(
        worker_id=fields.name("worker_id"),
        pool=fields.pool(),
        limit=fields.integer("limit", 1, least=1, most=MOST_CLAIMED),
        lease_seconds=fields.number(
            "lease_seconds", LEASE_SECONDS, least=LEASE_BOUNDS[0], most=LEASE_BOUNDS[1]
        ),
        tools=fields.names("tools"),
    )
    seconds = fields.number("wait_seconds", 0.0, least=0.0, most=LONGEST_WAIT)
    fields.close()
    api = request.app[API]

    def is_gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    claimed = await _claim_patiently(api, order, seconds, is_gone)
    if claimed and is_gone():
        await _hand_back(api, [Lease(each.command_id, each.lease_token) for each in claimed])
    return json_response({"commands": [_shown(command) for command in claimed]})


async def _claim_patiently(
    api: Api, order: ClaimOrder, seconds: float, is_gone: Callable[[], bool]
) -> list[Claimed]:
    if seconds <= 0:
        return await _claim(api, order)
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    with api.bell.waiting(order.pool, picky=order.tools is not None) as (queue, waiter):
        while not is_gone() and not api.bell.closed:
            waiter.rung.clear()
            claimed = await _claim(api, order)
            if claimed and waiter.probes:
                queue.ring(1, probes=True)
            left = ends - loop.time()
            if claimed or left <= 0:
                return claimed
            if not waiter.looks:
                await _ring_when_due(api, order, queue.ring_in)
            await _until(waiter.rung, left)
    return []


async def _claim(api: Api, order: ClaimOrder) -> list[Claimed]:
    async with api.borrow() as connection:
        return await commands.claim(
            connection,
            worker_id=order.worker_id,
            pool=order.pool,
            limit=order.limit,
            lease_seconds=order.lease_seconds,
            tools=order.tools,
        )


async def _ring_when_due(api: Api, order: ClaimOrder, ring_in: Callable[[float], None]) -> None:
    async with api.borrow() as connection:
        seconds = await commands.seconds_to_next(connection, order.pool, order.tools)
    if seconds is not None:
        ring_in(seconds)


async def _until(rung: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await rung.wait()
    except TimeoutError:
        return


def _shown(command: Claimed) -> dict[str, object]:
    return {
        "command_id": str(command.command_id),
        "execution_id": str(command.execution_id),
        "step": command.step,
        "attempt": command.attempt,
        "item": command.item,
        "tool": command.tool,
        "input": orjson.Fragment(command.input),
        "handles": orjson.Fragment(command.handles),
        "deferred": orjson.Fragment(command.deferred),
        "lease_token": str(command.lease_token),
        "leased_until": iso(command.leased_until),
        "deadline": iso(command.deadline),
        "timeout_seconds": command.timeout,
        "traceparent": command.traceparent,
        "idempotency_key": command.idempotency_key,
    }


@routes.post("/commands/settle")
async def settle(request: web.Request) -> web.Response:
    """Record results; after their commit, lease the next commands in the same round trip."""
    fields = await read_fields(request)
    worker_id = fields.name("worker_id")
    results = read_results(fields.items("results"))
    order = _claim_with(fields.object("claim"), worker_id)
    fields.close()
    api = request.app[API]
    settled = await _settle(api, worker_id, results)
    claimed = [] if order is None else await _claim(api, order)
    verdicts = list(zip(results.places, settled.verdicts, strict=True))
    rejected = results.rejected + [
        {"index": place, "code": verdict.code, "detail": verdict.detail}
        for place, verdict in verdicts
        if verdict.verdict is Verdict.REJECTED
    ]
    return json_response(
        {
            "settled": settled.count(Verdict.RECORDED) + settled.count(Verdict.DUPLICATE),
            "late": [place for place, verdict in verdicts if verdict.verdict is Verdict.LATE],
            "rejected": sorted(rejected, key=lambda refused: refused["index"]),
            "versions": {str(execution_id): version for execution_id, version in settled.versions.items()},
            "commands": [_shown(command) for command in claimed],
        }
    )


def _claim_with(fields: Fields | None, worker_id: str) -> ClaimOrder | None:
    if fields is None:
        return None
    order = ClaimOrder(
        worker_id=worker_id,
        pool=fields.pool(),
        limit=fields.integer("limit", 1, least=1, most=MOST_CLAIMED),
        lease_seconds=fields.number(
            "lease_seconds", LEASE_SECONDS, least=LEASE_BOUNDS[0], most=LEASE_BOUNDS[1]
        ),
        tools=fields.names("tools"),
    )
    fields.close()
    return order


async def _settle(api: Api, worker_id: str, results: Results) -> Settled:
    unknown = [result.lease.command_id for result in results.accepted if result.execution_id is None]
    owners = {}
    if unknown:
        # The connection goes back before the append: appends wait for each other, connections are few.
        async with api.borrow() as connection:
            owners = await commands.executions_of(connection, unknown)
    return await commands.settle_owned(api.desk.appender, worker_id, results.accepted, owners)


@routes.post("/commands/heartbeat")
async def heartbeat(request: web.Request) -> web.Response:
    """Extend leases, and say which commands are cancelled or lost; makes the worker known.

    A lease is told by its command: one that was claimed anew during a beat is not the one that was asked for.
    """
    fields = await read_fields(request)
    worker = WorkerSeen(
        worker_id=fields.name("worker_id"),
        pool=fields.pool(default="default"),
        slots=fields.integer("slots", 0, least=0, most=MOST_SLOTS),
        version=fields.name("version", "") or None,
        host=request.remote,
        tools=fields.names("tools"),
    )
    lease_seconds = fields.number("lease_seconds", LEASE_SECONDS, least=LEASE_BOUNDS[0], most=LEASE_BOUNDS[1])
    leases = _leases(fields)
    fields.close()
    api = request.app[API]
    async with api.borrow() as connection:
        await seen(connection, worker)
        beat = await commands.extend(connection, leases, lease_seconds)
    await commands.announce(api.borrow, api.desk.appender, beat.claims)
    return json_response(
        {"extended": _ids(beat.extended), "cancelled": _ids(beat.cancelled), "lost": _ids(beat.lost)}
    )


def _ids(leases: Sequence[Lease]) -> list[str]:
    return [str(lease.command_id) for lease in leases]


@routes.post("/commands/release")
async def release(request: web.Request) -> web.Response:
    """Take commands back unfinished; they are claimable again at once."""
    fields = await read_fields(request)
    fields.name("worker_id")
    leases = _leases(fields)
    fields.close()
    return json_response({"released": await _hand_back(request.app[API], leases)})


async def _hand_back(api: Api, leases: Sequence[Lease]) -> int:
    async with api.borrow() as connection:
        released = await commands.release(connection, leases)
    if released:
        api.desk.after(Committed(pools=dict(released)))
    return sum(released.values())


def _leases(fields: Fields) -> list[Lease]:
    leases = []
    for item in fields.items("commands", 10 * MOST_CLAIMED):
        if not isinstance(item, dict):
            fields.fault("commands", "must be a list of {command_id, lease_token}", "list")
            return []
        held = Fields(item)
        leases.append(Lease(held.id("command_id"), held.id("lease_token")))
        held.close()
    return leases


@routes.get("/commands/pending-count")
async def pending_count(request: web.Request) -> web.Response:
    """Count what waits and what runs, of one pool or of all; a database that is away is a 503, never a 0."""
    pool = query_name(read_query(request, ["pool"]), "pool")
    async with request.app[API].borrow() as connection:
        pools = await commands.pending_counts(connection, pool)
    ages = [counts["oldest_age_seconds"] for counts in pools.values()]
    known = [age for age in ages if age is not None]
    total = {name: sum(counts[name] or 0 for counts in pools.values()) for name in COUNTED}
    answer = {**total, "oldest_age_seconds": max(known, default=None), "pools": pools}
    return json_response(answer, headers=NO_STORE)


COUNTED = ("pending", "in_flight", "backlog")
