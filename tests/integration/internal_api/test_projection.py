"""Other systems' events come in by rows; snapshots are brought forward, rebuilt and proven on request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.internal_api import Client, result

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"


def row(number: int, **more: object) -> dict[str, Any]:
    return {
        "event_id": number,
        "execution_id": 4711,
        "catalog_id": "c9",
        "event_type": "step.exit",
        "node_name": "fetch",
        "result": {"rows": number},
        "timestamp": "2026-01-02 03:04:05.678",
        **more,
    }


async def test_an_unknown_execution_becomes_a_foreign_one(client: Client) -> None:
    batch = [row(1), row(2, result=None, context={"c": 1}), row(3, event_type="playbook.completed")]
    answer = await client.post("/events/project", {"events": batch})
    assert answer.body == {"projected": 3, "duplicates": 0, "rejected": []}
    again = await client.post("/events/project", {"events": batch})
    assert again.body == {"projected": 0, "duplicates": 3, "rejected": []}
    recorded = await client.engine.log(4711)
    assert [each.payload for each in recorded[:2]] == [
        {"status": "COMPLETED", "data": {"rows": 1}},
        {"status": "COMPLETED", "data": {"c": 1}},
    ]
    assert recorded[0].meta == {"catalog_id": "c9"}
    assert (recorded[0].step, recorded[0].created_at.isoformat()) == (
        "fetch",
        "2026-01-02T03:04:05.678000+00:00",
    )
    assert (await client.engine.state(4711)).status == "completed"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"timestamp": "2026-01-02T03:04:05+02:00"}, "2026-01-02T01:04:05+00:00"),
        ({"timestamp": "2026-01-02T03:04:05.5Z"}, "2026-01-02T03:04:05.500000+00:00"),
        ({"timestamp": "2026-01-02T03:04:05"}, "2026-01-02T03:04:05+00:00"),
        ({"timestamp": "2026-01-02 03:04:05"}, "2026-01-02T03:04:05+00:00"),
        (
            {"timestamp": "", "created_at": "2026-01-02 03:04:05.000001-01:00"},
            "2026-01-02T04:04:05.000001+00:00",
        ),
        ({"timestamp": None, "created_at": ""}, None),
    ],
)
async def test_a_row_has_its_time_in_any_form_or_that_of_its_recording(
    client: Client, times: dict[str, object], expected: str | None
) -> None:
    given = row(1) | times
    del given["catalog_id"]
    answer = await client.post("/events/project", {"events": [given]})
    assert answer.body == {"projected": 1, "duplicates": 0, "rejected": []}
    (recorded,) = await client.engine.log(4711)
    assert recorded.created_at is not None
    assert recorded.created_at.isoformat() == (expected or recorded.recorded_at.isoformat())
    assert recorded.meta is None


async def test_a_foreign_execution_takes_native_events_and_every_outcome_of_its_commands(
    client: Client,
) -> None:
    await client.post("/events/project", {"events": [row(1)]})
    outcome = {"execution_id": 4711, "step": "a", "command_id": 9, "event_id": 2}
    batch = [
        outcome | {"event_type": "command.failed"},
        outcome | {"event_type": "command.completed", "event_id": 3},
        outcome | {"event_type": "command.completed", "event_id": 3, "payload": 1},
    ]
    answer = await client.post("/events/materialize", batch)
    assert (answer.body["materialized"], answer.body["rejected"][0]["code"]) == (2, "conflict")
    assert [each.event_id for each in await client.engine.log(4711)] == [1, 2, 3]
    again = await client.post("/events/materialize", batch[:2])
    assert again.body["duplicates"] == 2


async def test_rows_for_an_execution_of_ours_are_not_allowed(client: Client) -> None:
    await client.engine.register(ONE)
    execution_id = await client.start("t/one")
    answer = await client.post("/events/project", {"events": [row(1), row(1, execution_id=execution_id)]})
    assert answer.body["projected"] == 1
    assert [(each["index"], each["code"]) for each in answer.body["rejected"]] == [(1, "not_allowed")]
    assert len(await client.engine.log(execution_id)) == 2


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("bad_id", {"event_id": None}),
        ("bad_id", {"execution_id": ""}),
        ("bad_time", {"timestamp": "yesterday"}),
        ("bad_type", {"event_type": ""}),
        ("id_out_of_range", {"execution_id": 2**62}),
        ("too_large", {"result": "x" * 300_000}),
    ],
)
async def test_one_bad_row_hurts_no_other(client: Client, code: str, fault: dict[str, object]) -> None:
    answer = await client.post("/events/project", {"events": [row(1), row(2) | fault, row(3)]})
    assert answer.body["projected"] == 2
    assert [(each["index"], each["code"]) for each in answer.body["rejected"]] == [(1, code)]


async def test_snapshots_are_advanced_rebuilt_and_proven(client: Client) -> None:
    await client.engine.register(ONE)
    execution_id = await client.start("t/one")
    body = {"execution_ids": [execution_id, str(execution_id), 4711]}
    answer = await client.post("/projection/advance", body)
    assert answer.body["advanced"] == [{"execution_id": execution_id, "version": 2, "events": 2}]
    assert answer.body["failed"] == [{"execution_id": 4711, "error": "unknown_execution"}]
    (command,) = await client.claim()
    await client.settle(result(command))
    answer = await client.post("/projection/advance", {"execution_ids": [execution_id]})
    assert answer.body["advanced"] == [{"execution_id": execution_id, "version": 5, "events": 3}]
    proven = await client.post("/projection/verify", {"sample": 10})
    assert (proven.body["verified"], proven.body["drifted"]) == (1, [])
    drift = "update playlog.snapshot set status = 'failed'"
    await client.engine.connection.execute(drift)
    proven = await client.post("/projection/verify", {"execution_ids": [execution_id]})
    assert [each["execution_id"] for each in proven.body["drifted"]] == [execution_id]
    rebuilt = await client.post("/projection/rebuild", {"execution_ids": [execution_id]})
    assert rebuilt.body["rebuilt"] == 1
    proven = await client.post("/projection/verify", {"execution_ids": [execution_id]})
    assert proven.body["drifted"] == []


async def test_a_purge_removes_what_is_old_and_says_beforehand_what_it_would(client: Client) -> None:
    await client.engine.register(ONE)
    await client.start("t/one")
    (command,) = await client.claim()
    await client.settle(result(command))
    await client.post("/commands/heartbeat", {"worker_id": "w1", "commands": []})
    for table, column in (("command", "closed_at"), ("runtime", "seen_at")):
        await client.engine.connection.execute(
            f"update playlog.{table} set {column} = {column} - interval '8 days'"
        )
    skipped = {"command_retention_days": 0, "runtime_stale_minutes": -1}
    answer = await client.post("/cleanup/purge", skipped)
    assert (answer.body["commands_purged"], answer.body["runtime_purged"]) == (0, 0)
    for body in ({"dry_run": True}, {}):
        answer = await client.post("/cleanup/purge", body)
        assert (answer.body["commands_purged"], answer.body["runtime_purged"]) == (1, 1)
        assert (answer.body["events_purged"], answer.body["event_partitions_dropped"]) == (0, 0)
    assert (await client.post("/cleanup/purge", b"")).body["commands_purged"] == 0
