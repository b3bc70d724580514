"""Identifiers: 63-bit integers, in public JSON decimal strings; derived ones make repeats recognisable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

MAX_ID = 2**63 - 1
ID_DIGITS = len(str(MAX_ID))
SHARDS = 16
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
SEQUENCE_BITS = 22


def shard_of(execution_id: int) -> int:
    """The outbox shard of an execution: 0..15."""
    return execution_id & (SHARDS - 1)


def first_id_at(moment: datetime) -> int:
    """The lowest id that can be given out at that moment, as the function of that name in SQL says too."""
    return (moment - EPOCH) // timedelta(milliseconds=1) << SEQUENCE_BITS


def moment_of(execution_id: int) -> datetime:
    """When an id was given out, to the millisecond: the inverse of `first_id_at`, 2024 for ids of others."""
    return EPOCH + timedelta(milliseconds=max(0, execution_id) >> SEQUENCE_BITS)


def derive_id(*parts: int | str) -> int:
    """A positive 63-bit id that only depends on `parts`: the same source, the same id, on every replica."""
    source = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(source, digest_size=8).digest(), "big") & MAX_ID or 1


def settled_event_id(command_id: int) -> int:
    """The event id of the one outcome a command can have."""
    return derive_id("settled", command_id)


def decided_event_id(execution_id: int, version: int) -> int:
    """The event id of an event that deciding put at this version."""
    return derive_id("decided", execution_id, version)


def parse_id(value: object) -> int | None:
    """A positive id from an integer or a plain decimal string; None for anything else."""
    if isinstance(value, str) and len(value) <= ID_DIGITS and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and 0 < value <= MAX_ID and not isinstance(value, bool):
        return value
    return None
