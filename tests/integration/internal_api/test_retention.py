"""Operators see the partitions, hold executions back, and purge what nobody needs."""

from __future__ import annotations

import pytest

from engine.domain.ids import MAX_ID, first_id_at
from engine.read.projection import advance
from tests.support.internal_api import Client
from tests.support.retention import WAITING, begin, end, make, purged, this_month

MONTH = this_month()


async def test_partitions_are_listed_with_their_bounds_and_what_holds_them(client: Client) -> None:
    await client.engine.register(WAITING)
    live = await begin(client.engine, MONTH, 1)
    await client.post("/retention/holds", {"name": "audit", "reason": "why", "execution_id": str(live)})
    found, cursor = [], ""
    while True:
        answer = await client.get(f"/partitions?limit=4{cursor}")
        found += answer.body["partitions"]
        if answer.body["next_cursor"] is None:
            break
        assert len(answer.body["partitions"]) == 4
        cursor = f"&cursor={answer.body['next_cursor']}"
    assert [each["name"] for each in found] == sorted(each["name"] for each in found)
    assert len(found) == 12
    (mine,) = [each for each in found if each["name"] == MONTH.leaf]
    assert mine["low_id"] == first_id_at(MONTH.first)
    assert mine["high_at"] == f"{MONTH.end:%Y-%m-%d}T00:00:00.000000Z"
    assert mine["bytes"] > 0
    assert mine["held"] == [f"execution {live} is live", "hold 'audit'"]


async def test_a_hold_is_placed_listed_moved_and_lifted(client: Client) -> None:
    whole = await client.post("/retention/holds", {"name": "audit-2026", "reason": "the auditors"})
    assert whole.body == {"name": "audit-2026", "low_id": 0, "high_id": MAX_ID, "purged": []}
    times = {"from": "2026-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"}
    await client.post("/retention/holds", {"name": "audit-2026", "reason": "again", **times})
    (held,) = (await client.get("/retention/holds")).body["holds"]
    assert (held["reason"], held["high_id"]) == ("again", MAX_ID)
    assert held["low_id"] > 0
    assert (await client.delete("/retention/holds/audit-2026")).body == {"lifted": True}
    assert (await client.delete("/retention/holds/audit-2026")).code == "unknown_hold"
    assert (await client.get("/retention/holds")).body == {"holds": [], "next_cursor": None}


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "two words"},
        {"name": ""},
        {"reason": "  "},
        {"reason": "a\0b"},
        {"from": "yesterday"},
        {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"to": "2001-01-01T00:00:00Z"},
        {"execution_id": 5, "from": "2026-02-01T00:00:00Z"},
        {"execution_id": 0},
        {"until": "2026-02-01T00:00:00Z"},
    ],
)
async def test_a_bad_hold_is_refused(client: Client, fault: dict[str, object]) -> None:
    refused = await client.post("/retention/holds", {"name": "audit", "reason": "why", **fault})
    assert refused.status == 422
    assert (await client.get("/retention/holds")).body["holds"] == []


async def test_a_purge_over_http_keeps_what_is_young(client: Client) -> None:
    answer = await client.post("/cleanup/purge", {"event_retention_days": 1, "dead_retention_days": 1})
    assert answer.body == {
        "commands_purged": 0,
        "runtime_purged": 0,
        "idempotency_purged": 0,
        "outbox_purged": 0,
        "events_purged": 0,
        "event_partitions_dropped": 0,
        "payload_partitions_dropped": 0,
        "log_partitions_dropped": 0,
        "executions_purged": 0,
        "snapshots_purged": 0,
        "held": [],
        "dry_run": False,
    }


async def test_background_work_and_proofs_pass_over_what_is_purged(client: Client) -> None:
    engine = client.engine
    await engine.register(WAITING)
    await make(engine.connection, MONTH.next)
    gone, there = [await begin(engine, month, 1) for month in (MONTH, MONTH.next)]
    await end(engine, gone)
    await advance(engine.connection, [gone, there])
    assert (await purged(engine.connection, MONTH)).events_purged == 1
    proven = await client.post("/projection/verify", {"sample": 10})
    assert (proven.body["verified"], proven.body["drifted"]) == (1, [])
    both = {"execution_ids": [gone, there]}
    for route in ("/projection/advance", "/projection/rebuild"):
        answer = await client.post(route, both)
        assert answer.body["failed"] == [{"execution_id": gone, "error": "unknown_execution"}]
    assert await engine.value("select count(*) from playlog.incident") == 0
    late = {"execution_id": gone, "step": "a", "event_type": "x", "event_id": 1}
    answer = await client.post("/events/materialize", [late, {**late, "execution_id": there}])
    assert [(each["index"], each["code"]) for each in answer.body["rejected"]] == [
        (0, "purged"),
        (1, "id_out_of_range"),
    ]
    assert answer.body["versions"] == {}
    line = {"execution_id": gone, "command_id": 1, "seq": 1, "step": "a", "attempt": 1, "stream": "log"}
    lines = [{**line, "line": "late", "at": "2026-01-01T00:00:00Z"}]
    refused = await client.post("/logs", {"lines": lines})
    assert (refused.status, refused.code) == (410, "purged")
