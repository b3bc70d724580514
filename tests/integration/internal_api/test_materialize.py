"""Batches of native events over HTTP: idempotent, judged one by one, decided in the same transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.internal_api import Client, result

if TYPE_CHECKING:
    from engine.domain.events import RecordedEvent

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
NOW = "2026-01-02T03:04:05Z"


def event(execution_id: int, number: int = 1, **more: object) -> dict[str, Any]:
    return {
        "execution_id": str(execution_id),
        "event_id": number,
        "event_type": "custom.note",
        "step": "a",
        "payload": {"n": number},
        **more,
    }


async def started(client: Client) -> int:
    await client.engine.register(ONE)
    return await client.start("t/one")


async def log(client: Client, execution_id: int) -> list[RecordedEvent]:
    return await client.engine.log(execution_id)


async def test_an_empty_batch_is_zeros(client: Client) -> None:
    answer = await client.post("/events/materialize", [])
    assert answer.body == {
        "materialized": 0,
        "duplicates": 0,
        "rejected": [],
        "late": [],
        "minted": 0,
        "versions": {},
    }


async def test_events_are_recorded_in_the_order_of_the_batch(client: Client) -> None:
    execution_id = await started(client)
    batch = [event(execution_id, number) for number in (30, 10, 20)]
    answer = await client.post("/events/materialize", batch)
    assert (answer.body["materialized"], answer.body["versions"]) == (3, {str(execution_id): 5})
    recorded = await log(client, execution_id)
    assert [each.event_id for each in recorded[2:]] == [30, 10, 20]
    assert recorded[2].payload == {"status": "RUNNING", "data": {"n": 30}}
    assert recorded[2].meta == {"actionable": True, "informative": True}


async def test_the_same_batch_again_is_all_duplicates_and_leaves_the_log_alone(client: Client) -> None:
    execution_id = await started(client)
    nameless = event(execution_id, created_at=NOW)
    del nameless["event_id"]
    batch = [event(execution_id, 1), nameless, event(execution_id, 1)]
    first = await client.post("/events/materialize", batch)
    assert (first.body["materialized"], first.body["duplicates"]) == (2, 1)
    before = await log(client, execution_id)
    again = await client.post("/events/materialize", batch)
    assert (again.body["materialized"], again.body["duplicates"], again.body["rejected"]) == (0, 3, [])
    assert await log(client, execution_id) == before


async def test_the_same_id_with_another_payload_is_a_conflict_at_its_index(client: Client) -> None:
    execution_id = await started(client)
    await client.post("/events/materialize", [event(execution_id, 1)])
    answer = await client.post(
        "/events/materialize", [event(execution_id, 2), event(execution_id, 1, payload="other")]
    )
    assert answer.body["materialized"] == 1
    assert [(row["index"], row["code"]) for row in answer.body["rejected"]] == [(1, "conflict")]


async def test_events_without_any_id_are_minted_and_a_key_makes_them_repeatable(client: Client) -> None:
    execution_id = await started(client)
    nameless = event(execution_id)
    del nameless["event_id"]
    for _ in range(2):
        answer = await client.post("/events/materialize", [nameless])
        assert (answer.body["materialized"], answer.body["minted"]) == (1, 1)
    counts = []
    for _ in range(2):
        answer = await client.post("/events/materialize", [nameless, nameless], **{"Idempotency-Key": "k"})
        counts.append((answer.body["materialized"], answer.body["duplicates"], answer.body["minted"]))
    assert counts == [(2, 0, 0), (0, 2, 0)]
    other = await client.post("/events/materialize", [nameless | {"payload": 1}], **{"Idempotency-Key": "k"})
    assert other.body["rejected"][0]["code"] == "conflict"


async def test_a_command_is_settled_by_a_native_event_and_decided_at_once(client: Client) -> None:
    execution_id = await started(client)
    (command,) = await client.claim()
    settling = event(execution_id, event_type="command.completed", payload={"rows": 3}, worker_id="w1")
    settling |= {name: command[name] for name in ("command_id", "lease_token")}
    answer = await client.post("/events/materialize", [settling])
    assert (answer.body["materialized"], answer.body["rejected"]) == (1, [])
    recorded = await log(client, execution_id)
    assert [each.event_type for each in recorded][-3:] == [
        "command.completed",
        "step.completed",
        "execution.completed",
    ]
    assert recorded[2].payload == {"status": "COMPLETED", "data": {"rows": 3}}
    again = await client.post("/events/materialize", [settling])
    assert again.body["duplicates"] == 1
    assert (await client.settle(result(command, {"rows": 3}))).body["settled"] == 1
    late = await client.post("/events/materialize", [settling | {"payload": {"rows": 4}}])
    assert (late.body["materialized"], late.body["late"]) == (1, [0])


async def test_a_failed_command_without_a_proper_error_fails_its_step(client: Client) -> None:
    execution_id = await started(client)
    (command,) = await client.claim()
    failing = event(execution_id, event_type="command.failed", payload="boom")
    failing |= {name: command[name] for name in ("command_id", "lease_token")}
    await client.post("/events/materialize", [failing])
    recorded = await log(client, execution_id)
    assert recorded[2].payload == {"status": "FAILED", "data": {"code": "error", "message": "boom"}}
    assert recorded[-1].event_type == "execution.failed"


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


BAD: list[tuple[str, dict[str, object]]] = [
    ("bad_id", {"execution_id": None}),
    ("bad_id", {"execution_id": "x"}),
    ("bad_id", {"execution_id": 0}),
    ("bad_id", {"execution_id": True}),
    ("bad_id", {"execution_id": 1.5}),
    ("bad_id", {"event_id": " 1"}),
    ("bad_id", {"event_id": "1e3"}),
    ("bad_id", {"event_id": "1_000"}),
    ("bad_id", {"event_id": "\u0661"}),
    ("bad_number", {"event_id": 2**63}),
    ("bad_number", {"event_id": 2**64}),
    ("bad_number", {"event_id": "9" * 30}),
    ("bad_number", {"event_id": "9" * 5000}),
    ("bad_number", {"attempt": -1}),
    ("bad_type", {"event_type": None}),
    ("bad_type", {"event_type": "a b"}),
    ("bad_type", {"event_type": "a.*"}),
    ("bad_type", {"event_type": "a\r\nb"}),
    ("bad_type", {"event_type": "a" * 129}),
    ("bad_type", {"step": 7}),
    ("bad_type", {"status": {}}),
    ("bad_type", {"meta": []}),
    ("bad_type", {"actionable": "yes"}),
    ("bad_type", {"result_kind": "blob"}),
    ("bad_time", {"created_at": "0000-01-01T00:00:00Z"}),
    ("bad_time", {"created_at": "9999-01-01T00:00:00Z"}),
    ("bad_time", {"created_at": "2026-01-01T00:00:00+25:00"}),
    ("bad_time", {"created_at": "2026-02-30T00:00:00Z"}),
    ("bad_time", {"created_at": "2026-01-01T00:00:00"}),
    ("bad_time", {"created_at": 5}),
    ("too_large", {"payload": "x" * (256 * 1024)}),
    ("too_deep", {"payload": deep(64)}),
    ("too_deep", {"payload": deep(300)}),
    ("bad_text", {"payload": "a\0b"}),
    ("bad_text", {"payload": {"a\0": 1}}),
    ("unknown_execution", {"execution_id": "4711"}),
    ("id_out_of_range", {"execution_id": 2**63 - 1}),
    ("not_allowed", {"event_type": "execution.completed"}),
    ("not_allowed", {"event_type": "incident.opened"}),
    ("unknown_command", {"event_type": "command.completed", "command_id": 1, "lease_token": 1}),
]


async def test_bad_events_of_every_kind_are_rejected_and_their_neighbours_land(client: Client) -> None:
    execution_id = await started(client)
    batch, expected = [event(execution_id, 100)], []
    for number, (code, fault) in enumerate(BAD, start=101):
        expected.append((len(batch), code))
        batch += [event(execution_id, 999) | fault, event(execution_id, number)]
    answer = await client.post("/events/materialize", json_text(batch))
    assert answer.status == 200
    assert [(row["index"], row["code"]) for row in answer.body["rejected"]] == expected
    assert (answer.body["materialized"], answer.body["duplicates"]) == (len(BAD) + 1, 0)
    recorded = [each.event_id for each in (await log(client, execution_id))[2:]]
    assert recorded == list(range(100, 101 + len(BAD)))


CODES = {
    *("bad_id", "bad_type", "bad_time", "too_large", "too_deep", "bad_text", "bad_number"),
    *("unknown_execution", "terminal_execution", "conflict", "stale_lease", "unknown_command"),
    *("not_allowed", "purged", "id_out_of_range"),
}
"""Every code of the wire contract by which an event of a batch is rejected."""


async def test_every_code_of_the_contract_is_given_to_its_event_alone(client: Client) -> None:
    await client.engine.connection.execute(
        "insert into playlog.retention (kind, name, low_id, high_id) values ('purged', '200001', 3000, 4000)"
    )
    execution_id, ended = await started(client), await client.start("t/one")
    leases = {command["execution_id"]: command for command in await client.claim(limit=2)}
    await client.settle(result(leases[str(ended)]))
    stale = {"event_type": "command.completed", "command_id": leases[str(execution_id)]["command_id"]}
    faults: dict[str, dict[str, object]] = dict(BAD)
    faults |= {
        "terminal_execution": {"execution_id": ended},
        "conflict": {"event_id": 100, "payload": "another"},
        "stale_lease": stale | {"lease_token": 17},
        "purged": {"execution_id": 3999},
    }
    batch = [event(execution_id, 100)]
    for number, fault in enumerate(faults.values(), start=101):
        batch += [event(execution_id, 999) | fault, event(execution_id, number)]
    answer = await client.post("/events/materialize", json_text(batch))
    assert [row["code"] for row in answer.body["rejected"]] == list(faults)
    assert [row["index"] for row in answer.body["rejected"]] == list(range(1, len(batch), 2))
    assert faults.keys() == CODES
    assert answer.body["materialized"] == len(CODES) + 1
    assert answer.body["versions"] == {str(execution_id): 3 + len(CODES), str(ended): 5}


def json_text(value: object) -> bytes:
    """JSON as a stranger may write it: integers of any size, any depth."""
    return json.dumps(value).encode()


async def test_a_lone_surrogate_is_rejected_at_its_index(client: Client) -> None:
    execution_id = await started(client)
    body = json_text([event(execution_id, 1), event(execution_id, 2, payload="\ud800")])
    answer = await client.post("/events/materialize", body)
    assert answer.status == 200
    assert [(row["index"], row["code"]) for row in answer.body["rejected"]] == [(1, "bad_text")]


BAD_BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"  ", 400),
    (b"[1,]", 400),
    (b"[] []", 400),
    (b"\xef\xbb\xbf[]", 400),
    ("[]".encode("utf-16"), 400),
    (b'["\xff"]', 400),
    (b'["\xc0\xaf"]', 400),
    (b'["a\x00"]', 400),
    (b"[NaN]", 400),
    (b'[NaN, "\\ud800"]', 400),
    (b"[Infinity]", 400),
    (b'[1e400, "\\ud800"]', 400),
    (b"[1e400]", 400),
    (b"[" * 1025, 400),
    (b"[" * 100_000, 400),
    (b'["\\ud800",' + b"[" * 100_000, 400),
    (b"[" * 1025 + b"]" * 1025, 400),
    (b'"text"', 422),
    (b"7", 422),
    (b"null", 400),
    (b"{}", 422),
    (b"[" + b"1," * 1_000_000 + b"1]", 413),
]


async def test_a_body_that_is_no_batch_is_a_problem_and_the_next_request_works(client: Client) -> None:
    found = []
    for body, _ in BAD_BODIES:
        answer = await client.post("/events/materialize", body)
        assert answer.code
        found.append((body, answer.status))
        assert (await client.post("/events/materialize", [])).status == 200
    assert found == BAD_BODIES


async def test_an_event_after_the_end_is_rejected(client: Client) -> None:
    execution_id = await started(client)
    (command,) = await client.claim()
    await client.settle(result(command))
    answer = await client.post("/events/materialize", [event(execution_id)])
    assert answer.body["rejected"][0]["code"] == "terminal_execution"


async def test_ids_of_a_purged_range_are_purged(client: Client) -> None:
    await client.engine.connection.execute(
        "insert into playlog.retention (kind, name, low_id, high_id) values ('purged', 'low', 0, 5000)"
    )
    for route, body in (
        ("/events/materialize", [event(4711)]),
        ("/events/project", {"events": [event(4711)]}),
    ):
        answer = await client.post(route, body)
        assert answer.body["rejected"][0]["code"] == "purged"
    assert await client.engine.value("select count(*) from playlog.execution") == 0
