"""Payloads: large values are stored before an event may refer to them, and read when deciding needs them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from hashlib import sha256

import asyncpg
import orjson

from engine.domain.events import NewEvent
from engine.domain.expression import ExpressionFailed
from engine.domain.handles import MOST_BYTES, PayloadKey, own_reference, parse_map_uri, parse_uri
from engine.domain.json_values import Unstorable, check_value
from engine.errors import Invalid, NotFound, TooLarge
from engine.write import map_outputs
from engine.write.keys import Pending
from engine.write.requests import Request
from engine.write.store import columns
from sql import queries

SQL = queries.load("payloads")


async def store(connection: asyncpg.Connection, key: PayloadKey, body: bytes) -> bool:
    """Keep bytes for an execution; returns whether they are new.

    Raises `TooLarge` beyond 16 MiB, `Invalid` (`hash_mismatch`) when the bytes have another hash, and
    `NotFound` for an unknown execution. What no event ever refers to goes with its partition.
    """
    if len(body) > MOST_BYTES:
        raise TooLarge(f"a payload has at most {MOST_BYTES} bytes", limit=MOST_BYTES)
    if sha256(body).digest() != key.sha256:
        raise Invalid("the bytes do not have this hash", code="hash_mismatch")
    row = await connection.fetchrow(SQL.store, key.execution_id, key.sha256, body)
    if row is None or not row["is_known"]:
        raise NotFound(f"there is no execution {key.execution_id}", code="unknown_execution")
    return bool(row["is_new"])


async def confirmed(connection: asyncpg.Connection, pending: Pending) -> Pending:
    """The requests with the size of each payload that their events refer to; one without is not stored.

    Without such an event, which is nearly always, nothing is asked.
    """
    referring = {
        request.execution_id
        for request, _ in pending
        for event in request.events
        if own_reference(event.payload) is not None
    }
    if not referring:
        return pending
    wanted = {
        key for request, _ in pending for event in request.events if (key := _key(request, event)) is not None
    }
    rows = await connection.fetch(SQL.sizes, *columns(list(wanted))) if wanted else []
    sizes = {PayloadKey(row["execution_id"], row["sha256"]): row["bytes"] for row in rows}
    return [
        (_sized(request, sizes) if request.execution_id in referring else request, outcome)
        for request, outcome in pending
    ]


async def contents(
    connection: asyncpg.Connection, uris: Collection[str], fresh: map_outputs.Fresh
) -> dict[str, object]:
    """The values of payloads and maps by address; one that is gone or no JSON is the failure of reading it.

    `fresh` are the events, by execution, that this append has yet to write.
    """
    keys = [key for uri in uris if (key := parse_uri(uri)) is not None]
    maps = [of for uri in uris if (of := parse_map_uri(uri)) is not None]
    found: dict[str, object] = {
        uri: ExpressionFailed("not_available", f"{uri} is not stored any more") for uri in uris
    }
    found |= await map_outputs.contents(connection, maps, fresh)
    for row in await connection.fetch(SQL.bodies, *columns(keys)) if keys else ():
        uri = PayloadKey(row["execution_id"], row["sha256"]).uri
        found[uri] = _value(uri, row["body"])
    return found


def _key(request: Request, event: NewEvent) -> PayloadKey | None:
    """The payload that an event refers to; only one of its own execution counts."""
    reference = own_reference(event.payload)
    key = None if reference is None else parse_uri(reference["uri"])
    return key if key is not None and key.execution_id == request.execution_id else None


def _sized(request: Request, sizes: dict[PayloadKey, int]) -> Request:
    def sized(event: NewEvent) -> NewEvent:
        reference = own_reference(event.payload)
        if reference is None or not isinstance(event.payload, dict):
            return event
        key = _key(request, event)
        known = {} if key is None or key not in sizes else {"bytes": sizes[key]}
        told = {"kind": "ref", "uri": reference["uri"], **known}
        return event._replace(payload={**event.payload, "reference": told}, encoded=None)

    return replace(request, events=tuple(sized(event) for event in request.events))


def _value(uri: str, body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
        check_value(value)
    except (ValueError, Unstorable) as error:
        return ExpressionFailed("type_mismatch", f"{uri} is no JSON value that can be read: {error}")
    return value
