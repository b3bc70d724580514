"""What operators do is written down in the transaction that does it, and read newest first."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from engine.write import outbox
from tests.support.internal_api import TOKEN, Client
from tests.support.servers import Connection

ACTOR = "X-Playlog-Actor"
DEAD = """
insert into playlog.outbox_dead (outbox_id, shard, execution_id, first_version, last_version, event_id,
    subject, payload, attempts, created_at)
select 900000 + i, 1, 17, i, i, 5, 's', '{}', 20, clock_timestamp() from generate_series(1, 4) i
"""
REFUSE = """
create function playlog.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
create trigger refuse before insert on playlog.audit execute function playlog.refuse();
"""
LEFT = "select count(*) from playlog.outbox_dead"


async def audit(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/audit{query}")
    acts: list[dict[str, Any]] = answer.body["audit"]
    return acts


async def test_each_action_of_an_operator_is_listed_newest_first_in_pages(client: Client) -> None:
    await client.engine.connection.execute(DEAD)
    named = {ACTOR: "ann@laptop"}
    asked = {"outbox_ids": [900001, 900002, 7], "reason": "sent by hand"}
    assert (await client.post("/outbox/discard", asked, **named)).body == {"discarded": 2}
    assert (await client.post("/outbox/discard", asked)).body == {"discarded": 0}
    assert (await client.post("/outbox/redrive", {"all": True})).body == {"redriven": 2}
    await client.post("/projection/rebuild", {"execution_ids": [17]})
    newest = (await client.get("/audit?limit=1")).body
    rest = (await client.get(f"/audit?cursor={newest['next_cursor']}")).body
    acts = newest["audit"] + rest["audit"]
    assert rest["next_cursor"] is None
    assert [(act["action"], act["subject"], act["actor"], act["detail"]) for act in acts] == [
        ("projection.rebuild", "snapshots", "internal-api", {"count": 1, "execution_ids": [17]}),
        ("outbox.redrive", "outbox", "internal-api", {"count": 2, "outbox_ids": [900003, 900004]}),
        (
            "outbox.discard",
            "outbox",
            "ann@laptop",
            {"reason": "sent by hand", "count": 2, "outbox_ids": [900001, 900002]},
        ),
    ]
    assert TOKEN not in str(acts)


async def test_an_action_whose_audit_fails_is_not_done(connection: Connection) -> None:
    await connection.execute(DEAD + ";" + REFUSE)
    with pytest.raises(asyncpg.RaiseError):
        await outbox.redrive(connection, actor="me")
    with pytest.raises(asyncpg.RaiseError):
        await outbox.discard(connection, reason="r", actor="me")
    assert await connection.fetchval(LEFT) == 4


@pytest.mark.parametrize("name", ["", "a\tb", "ä\x85", "x" * 129])
async def test_a_name_that_cannot_be_written_down_is_refused(client: Client, name: str) -> None:
    await client.engine.connection.execute(DEAD)
    answer = await client.post("/outbox/redrive", {"all": True}, **{ACTOR: name})
    assert (answer.status, answer.code) == (400, "bad_actor")
    assert await client.engine.value(LEFT) == 4
    assert await audit(client) == []
