"""Claiming: oldest first, one claimer a message, in order per execution."""

from __future__ import annotations

import asyncio

import orjson

from engine.write import outbox
from tests.support.outbox import put
from tests.support.servers import Connection, connected

EXPIRE = "update playlog.outbox set leased_until = clock_timestamp() - interval '1 second'"


async def test_the_oldest_messages_come_first_one_an_execution(connection: Connection) -> None:
    ids = await put(connection, (3, 1, 2), (3, 3, 3), (20, 1, 1), (17, 1, 1))
    claimed = await outbox.claim(connection, limit=10)
    assert [each.outbox_id for each in claimed] == [ids[0], ids[2], ids[3]]
    first = claimed[0]
    assert (first.execution_id, first.first_version, first.last_version, first.attempts) == (3, 1, 2, 1)
    assert first.headers["Nats-Msg-Id"] == "3:1-2:1"
    assert first.subject == "playlog.events.3.3"
    assert orjson.loads(first.payload)["execution_id"] == "3"
    assert await outbox.claim(connection, limit=10) == []


async def test_the_limit_takes_the_oldest(connection: Connection) -> None:
    ids = await put(connection, *[(number, 1, 1) for number in range(100, 150)])
    assert [each.outbox_id for each in await outbox.claim(connection, limit=7)] == ids[:7]


async def test_several_of_an_execution_come_in_order_on_request(connection: Connection) -> None:
    ids = await put(connection, *[(5, version, version) for version in range(1, 6)], (6, 1, 1))
    claimed = await outbox.claim(connection, limit=10, per_execution=3)
    assert [each.outbox_id for each in claimed] == [*ids[:3], ids[5]]


async def test_an_expired_lease_is_claimable_in_the_same_query(connection: Connection) -> None:
    ids = await put(connection, (5, 1, 1), (5, 2, 2), (6, 1, 1))
    [first, _] = await outbox.claim(connection, limit=10, lease_seconds=3600)
    await connection.execute(f"{EXPIRE} where outbox_id = $1", first.outbox_id)
    [again] = await outbox.claim(connection, limit=10)
    assert (again.outbox_id, again.attempts) == (ids[0], 2)
    assert again.lease_token != first.lease_token


async def test_no_message_overtakes_one_whose_lease_ran_out(connection: Connection) -> None:
    first, second, other = await put(connection, (21, 1, 1), (21, 2, 2), (5, 1, 1))
    assert [each.outbox_id for each in await outbox.claim(connection, limit=10)] == [first, other]
    await connection.execute(f"{EXPIRE} where lease_token is not null")
    await connection.execute(
        "update playlog.outbox set leased_until = leased_until - interval '1 s' where outbox_id = $1", other
    )
    claimed = [[each.outbox_id for each in await outbox.claim(connection, limit=1)] for _ in range(3)]
    assert claimed == [[other], [first], []]
    await outbox.mark_published(connection, [first])
    assert [each.outbox_id for each in await outbox.claim(connection, limit=10)] == [second]


async def test_a_parked_message_blocks_the_later_ones_of_its_execution(connection: Connection) -> None:
    ids = await put(connection, (5, 1, 1), (5, 2, 2), (21, 1, 1))
    await outbox.mark_failed(connection, ids[0], "no", attempts=3)
    assert [each.outbox_id for each in await outbox.claim(connection, 10, per_execution=10)] == [ids[2]]


async def test_claimers_at_once_never_get_the_same_message(connection: Connection, database_url: str) -> None:
    ids = await put(connection, *[(number, 1, 1) for number in range(1_000, 1_300)])

    async def claim_all() -> list[int]:
        mine: list[int] = []
        async with connected(database_url) as own:
            for _ in range(20):
                mine += [each.outbox_id for each in await outbox.claim(own, limit=40)]
        return mine

    parts = await asyncio.gather(*(claim_all() for _ in range(5)))
    assert sorted(outbox_id for part in parts for outbox_id in part) == ids


async def test_shards_of_a_publisher_and_shards_being_refilled_give_nothing(
    connection: Connection, database_url: str
) -> None:
    await put(connection, (5, 1, 1), (6, 1, 1), (7, 1, 1))
    await connection.execute("update playlog.shard set refill_after = 0, refill_from = now() where shard = 6")
    async with connected(database_url) as other, other.transaction():
        await other.execute("select from playlog.shard where shard = 5 for update")
        assert [each.execution_id for each in await outbox.claim(connection, 10)] == [7]
