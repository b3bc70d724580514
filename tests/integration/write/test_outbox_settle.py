"""Settling: what was published is deleted once, what failed is set aside for as long as the contract says."""

from __future__ import annotations

import pytest

from engine.errors import NotFound
from engine.write import outbox
from tests.support.outbox import put
from tests.support.servers import Connection

ROW = "select * from playlog.outbox where outbox_id = $1"


async def test_published_messages_are_counted_once(connection: Connection) -> None:
    ids = await put(connection, (5, 1, 1), (6, 1, 1))
    assert await outbox.mark_published(connection, [ids[0], ids[0], 10**9]) == outbox.Published(1, [])
    assert await outbox.mark_published(connection, ids) == outbox.Published(1, [])
    assert await outbox.mark_published(connection, ids) == outbox.Published(0, [])


async def test_a_stale_token_is_listed_and_settles_nothing(connection: Connection) -> None:
    await put(connection, (5, 1, 1), (6, 1, 1))
    five, six = await outbox.claim(connection, 10)
    tokens = [five.lease_token + 1, six.lease_token]
    settled = await outbox.mark_published(connection, [five.outbox_id, six.outbox_id], tokens)
    assert settled == outbox.Published(1, [five.outbox_id])
    assert await outbox.mark_published(connection, [six.outbox_id], [six.lease_token]) == outbox.Published(
        0, []
    )
    assert await outbox.mark_published(connection, [five.outbox_id], [None]) == outbox.Published(1, [])


@pytest.mark.parametrize(
    ("attempts", "most", "delay"),
    [
        (1, 300, 1),
        (2, 300, 2),
        (5, 300, 16),
        (9, 300, 256),
        (10, 300, 256),
        (2**31, 300, 256),
        (0, 300, 1),
        (-1, 300, 1),
        (9, 1000, 256),
        (9, 60, 60),
        (1, 0, 0),
        (1, -5, 0),
        (30, 10**18, 256),
    ],
)
async def test_the_delay_of_a_failure_is_exact(
    connection: Connection, attempts: int, most: int, delay: int
) -> None:
    [outbox_id] = await put(connection, (5, 1, 1))
    before = await connection.fetchval("select clock_timestamp()")
    failed = await outbox.mark_failed(connection, outbox_id, "no", attempts, most)
    after = await connection.fetchval("select clock_timestamp()")
    assert failed == outbox.Failed(marked=True, available_at_in=delay)
    row = await connection.fetchrow(ROW, outbox_id)
    assert row is not None
    assert delay - 0.001 <= (row["available_at"] - before).total_seconds()
    assert (row["available_at"] - after).total_seconds() <= delay + 0.001


async def test_the_error_is_kept_to_its_first_2000_characters(connection: Connection) -> None:
    [outbox_id] = await put(connection, (5, 1, 1))
    await outbox.mark_failed(connection, outbox_id, "\0\ud800" + "ä" * 5_000)
    row = await connection.fetchrow(ROW, outbox_id)
    assert row is not None
    assert row["last_error"] == "??" + "ä" * 1_998


async def test_a_failure_gives_the_lease_back_and_a_stale_one_changes_nothing(connection: Connection) -> None:
    await put(connection, (5, 1, 1))
    [claimed] = await outbox.claim(connection, 1)
    stale = await outbox.mark_failed(connection, claimed.outbox_id, "no", lease_token=1)
    assert stale == outbox.Failed(marked=False, stale=True)
    row = await connection.fetchrow(ROW, claimed.outbox_id)
    assert row is not None
    assert row["lease_token"] == claimed.lease_token
    marked = await outbox.mark_failed(
        connection, claimed.outbox_id, "no", max_delay_seconds=0, lease_token=claimed.lease_token
    )
    assert marked.marked
    [again] = await outbox.claim(connection, 1)
    assert again.attempts == 2


async def test_a_published_message_is_never_resurrected_and_an_unknown_one_is_not_found(
    connection: Connection,
) -> None:
    with pytest.raises(NotFound):
        await outbox.mark_failed(connection, 1, "no")
    [outbox_id] = await put(connection, (5, 1, 1))
    await outbox.mark_published(connection, [outbox_id])
    assert await outbox.mark_failed(connection, outbox_id, "no") == outbox.Failed(marked=False)
    for never in (outbox_id + 1, 0, -1, 2**62):
        with pytest.raises(NotFound):
            await outbox.mark_failed(connection, never, "no")


async def test_it_dies_only_when_another_went_through_since_its_first_failure(connection: Connection) -> None:
    ids = await put(connection, (5, 1, 1), (6, 1, 1))
    await outbox.mark_failed(connection, ids[0], "no", attempts=50)
    assert (await outbox.pending_count(connection)).parked == 1
    await outbox.mark_published(connection, [ids[1]])
    await outbox.mark_failed(connection, ids[0], "no", attempts=19)
    count = await outbox.pending_count(connection)
    assert (count.pending, count.parked, count.dead) == (0, 0, 1)
    [dead], cursor = await outbox.dead(connection)
    assert (dead.outbox_id, dead.attempts, dead.last_error, cursor) == (ids[0], 50, "no", None)


async def test_an_outage_buries_nothing(connection: Connection) -> None:
    ids = await put(connection, *[(number, 1, 1) for number in range(5)])
    await outbox.mark_published(connection, [ids[0]])
    for outbox_id in ids[1:]:
        for attempts in range(1, 30):
            await outbox.mark_failed(connection, outbox_id, "no", attempts)
    count = await outbox.pending_count(connection)
    assert (count.parked, count.dead) == (4, 0)


async def test_dead_messages_come_in_pages_and_are_redriven(connection: Connection) -> None:
    ids = await put(connection, *[(number, 1, 1) for number in range(10)])
    for outbox_id in ids[:5]:
        await outbox.mark_failed(connection, outbox_id, "no", attempts=20)
    await outbox.mark_published(connection, ids[5:])
    for outbox_id in ids[:5]:
        await outbox.mark_failed(connection, outbox_id, "no", attempts=20)
    first, cursor = await outbox.dead(connection, limit=3)
    rest, end = await outbox.dead(connection, cursor, limit=3)
    assert [each.outbox_id for each in first + rest] == sorted(ids[:5], reverse=True)
    assert end is None
    assert await outbox.redrive(connection, [ids[0], 10**9], actor="me") == 1
    assert await outbox.redrive(connection, actor="me") == 4
    claimed = await outbox.claim(connection, 10)
    assert [(each.outbox_id, each.attempts) for each in claimed] == [(each, 1) for each in ids[:5]]
