"""The outbox over HTTP, as publishers, autoscalers and operators use it."""

from __future__ import annotations

from engine.runtime.embedded import EmbeddedPostgres
from tests.support import servers
from tests.support.internal_api import Client

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
RIPE = "update playlog.outbox set available_at = clock_timestamp() - interval '1 s'"
DEAD = """
insert into playlog.outbox_dead (outbox_id, shard, execution_id, first_version, last_version, event_id,
    subject, payload, attempts, created_at)
values (900001, 1, 17, 1, 1, 5, 's', '{}', 20, clock_timestamp())
"""


async def test_a_message_is_claimed_and_settled_once(client: Client) -> None:
    await client.engine.register(ONE)
    execution_id = await client.start("t/one")
    answer = await client.post("/outbox/claim", b"")
    assert answer.body["claimed"] == 1
    (row,) = answer.body["rows"]
    assert row["execution_id"] == execution_id
    assert row["payload"]["execution_id"] == str(execution_id)
    assert (row["payload_codec"], row["attempts"]) == ("json", 1)
    assert (row["first_version"], row["last_version"]) == (1, 2)
    assert (await client.post("/outbox/claim", {"limit": 10**9})).body["rows"] == []
    counted = await client.get("/outbox/pending-count")
    assert counted.headers["Cache-Control"] == "no-store"
    assert (counted.body["pending"], counted.body["in_flight"]) == (0, 1)
    stale = {"outbox_ids": [row["outbox_id"]], "lease_tokens": [5]}
    assert (await client.post("/outbox/mark-published", stale)).body == {
        "marked": 0,
        "stale": [row["outbox_id"]],
    }
    done = {
        "outbox_ids": [str(row["outbox_id"]), 10**9],
        "acks": [{"outbox_id": row["outbox_id"], "stream_seq": 1}],
    }
    for marked in (1, 0):
        assert (await client.post("/outbox/mark-published", done)).body["marked"] == marked


async def test_a_failed_message_waits_out_its_backoff(client: Client) -> None:
    await client.engine.register(ONE)
    await client.start("t/one")
    (row,) = (await client.post("/outbox/claim", {})).body["rows"]
    outbox_id = row["outbox_id"]
    failed = {"outbox_id": outbox_id, "error": "no\0 luck", "attempts": 4}
    answer = await client.post("/outbox/mark-failed", failed)
    assert (answer.body["marked"], answer.body["available_at_in"]) == (True, 8)
    assert (await client.get("/outbox/pending-count")).body["parked"] == 1
    await client.engine.connection.execute(RIPE)
    assert (await client.post("/outbox/claim", {})).body["claimed"] == 1
    await client.post("/outbox/mark-published", {"outbox_ids": [outbox_id]})
    assert (await client.post("/outbox/mark-failed", failed)).body["marked"] is False
    unknown = await client.post("/outbox/mark-failed", failed | {"outbox_id": 10**12})
    assert (unknown.status, unknown.code) == (404, "not_found")


FAILURES: list[tuple[dict[str, object], int, object]] = [
    ({"attempts": -1}, 200, 1),
    ({"attempts": 0}, 200, 1),
    ({"attempts": 9}, 200, 256),
    ({"attempts": 2**31}, 200, 256),
    ({"attempts": 2**63}, 200, 256),
    ({"attempts": 9, "max_delay_seconds": 0}, 200, 0),
    ({"attempts": 9, "max_delay_seconds": -5}, 200, 0),
    ({"attempts": 9, "max_delay_seconds": 10**9}, 200, 256),
    ({"lease_token": None}, 200, 1),
    ({"lease_token": 5}, 200, 0),
    ({"lease_token": "x"}, 422, None),
    ({"attempts": "1"}, 422, None),
    ({"attempts": None}, 422, None),
    ({"attempts": 1.0}, 422, None),
    ({"max_delay_seconds": True}, 422, None),
    ({"error": " "}, 400, None),
    ({"outbox_id": 0}, 422, None),
    ({"delay": 1}, 422, None),
]


async def test_the_answer_to_a_failure_is_as_the_contract_says(client: Client) -> None:
    await client.engine.register(ONE)
    await client.start("t/one")
    (row,) = (await client.post("/outbox/claim", {})).body["rows"]
    failed = {"outbox_id": row["outbox_id"], "error": "x"}
    found: list[tuple[dict[str, object], int, object]] = []
    for fields, _, _ in FAILURES:
        answer = await client.post("/outbox/mark-failed", failed | fields)
        assert answer.status == 200 or answer.code
        found.append((fields, answer.status, answer.body.get("available_at_in")))
    assert found == FAILURES
    assert (await client.get("/outbox/pending-count")).body["parked"] == 1


async def test_the_dead_are_listed_and_redriven(client: Client) -> None:
    await client.engine.connection.execute(DEAD)
    answer = await client.get("/outbox/dead?limit=1")
    assert [row["outbox_id"] for row in answer.body["rows"]] == [900001]
    assert answer.body["next_cursor"] is None
    assert (await client.post("/outbox/redrive", {"outbox_ids": [3]})).body == {"redriven": 0}
    assert (await client.post("/outbox/redrive", {"all": True})).body == {"redriven": 1}
    assert (await client.post("/outbox/claim", {})).body["claimed"] == 1


BODIES: list[tuple[str, object, int]] = [
    ("/outbox/claim", {"limit": "10"}, 422),
    ("/outbox/claim", {"limit": None}, 422),
    ("/outbox/claim", {"limit": True}, 422),
    ("/outbox/claim", {"limit": 1.5}, 422),
    ("/outbox/claim", {"limit": 0}, 200),
    ("/outbox/claim", {"limit": -1}, 200),
    ("/outbox/claim", {"limit": 10**9}, 200),
    ("/outbox/claim", {"limits": 1}, 422),
    ("/outbox/claim", [], 422),
    ("/outbox/mark-published", b"", 400),
    ("/outbox/mark-published", {"outbox_ids": []}, 400),
    ("/outbox/mark-published", {}, 422),
    ("/outbox/mark-published", {"outbox_ids": list(range(1, 32_769))}, 422),
    ("/outbox/mark-published", {"outbox_ids": [0]}, 422),
    ("/outbox/mark-published", {"outbox_ids": [2**63]}, 422),
    ("/outbox/mark-published", {"outbox_ids": [5, 5, 6]}, 200),
    ("/outbox/mark-published", {"outbox_ids": [1], "lease_tokens": []}, 422),
    ("/outbox/mark-published", {"outbox_ids": [1], "acks": [1]}, 422),
    ("/outbox/mark-failed", {"outbox_id": 1, "error": ""}, 400),
    ("/outbox/mark-failed", {"error": "x"}, 422),
    ("/outbox/mark-failed", {"outbox_id": 10**9, "error": "x", "attempts": 2**31}, 404),
    ("/outbox/mark-failed", {"outbox_id": 10**9, "error": "x", "max_delay_seconds": -5}, 404),
    ("/outbox/redrive", {}, 422),
    ("/outbox/redrive", {"outbox_ids": []}, 400),
    ("/outbox/redrive", {"outbox_ids": [7], "all": True}, 422),
    ("/outbox/redrive", {"all": 1}, 422),
    ("/outbox/discard", {"reason": "r"}, 422),
    ("/outbox/discard", {"all": True}, 422),
    ("/outbox/discard", {"all": True, "reason": " "}, 400),
    ("/outbox/discard", {"all": True, "reason": "r" * 2_001}, 422),
    ("/outbox/discard", {"outbox_ids": [7], "all": True, "reason": "r"}, 422),
    ("/outbox/discard", {"outbox_ids": [7], "reason": "r"}, 200),
    ("/cleanup/purge", {"command_retention_days": "7d"}, 422),
    ("/cleanup/purge", {"command_retention_days": -1}, 200),
    ("/cleanup/purge", {"command_retention_days": 10**18}, 200),
    ("/cleanup/purge", b'{"command_retention_days": NaN}', 400),
    ("/cleanup/purge", {"days": 7}, 422),
    ("/cleanup/purge", {"event_retention_days": 1}, 200),
    ("/cleanup/purge", {"event_retention_days": 1.5}, 422),
    ("/commands/claim", {"worker_id": "w", "pool": "default", "wait_seconds": -1}, 422),
    ("/commands/claim", {"worker_id": "w", "pool": "default", "wait_seconds": 31}, 422),
    ("/commands/claim", {"worker_id": "w", "pool": "A B"}, 422),
    ("/commands/claim", {"worker_id": "w\0", "pool": "default"}, 422),
    ("/commands/claim", {"worker_id": "w", "pool": "default", "tools": ["a\0"]}, 422),
    ("/commands/claim", {"pool": "default"}, 422),
    ("/commands/claim", {"worker_id": "w", "pool": "default", "lease_seconds": 0}, 422),
    ("/commands/settle", {"worker_id": "w", "results": {}}, 422),
    ("/commands/settle", {"worker_id": "w", "results": [], "claim": {"pool": "default", "x": 1}}, 422),
    ("/commands/heartbeat", {"worker_id": "w", "commands": [{}]}, 422),
    ("/commands/heartbeat", {"worker_id": "w", "commands": [], "version": "\0"}, 422),
    ("/commands/release", {"worker_id": "w", "commands": [1]}, 422),
    ("/events/project", {"events": []}, 400),
    ("/events/project", [], 422),
    ("/projection/advance", {"execution_ids": []}, 400),
    ("/projection/advance", {"execution_ids": ["x"]}, 422),
    ("/projection/verify", {}, 422),
]
QUERIES = [
    "/outbox/pending-count?pool=x",
    "/outbox/dead?limit=0",
    "/outbox/dead?limit=abc",
    "/outbox/dead?limit=1&limit=2",
    "/outbox/dead?cursor=1e3",
    "/commands/pending-count?pools=x",
    "/commands/pending-count?pool=%00",
    "/workers?cursor=%00",
    "/audit?cursor=-1",
    "/audit?actor=me",
    "/incidents?limit=1e3",
]


async def test_a_bad_body_is_a_problem_and_the_next_request_works(client: Client) -> None:
    found = []
    for route, body, _ in BODIES:
        answer = await client.post(route, body)
        assert answer.status == 200 or answer.code
        found.append((route, body, answer.status))
        assert (await client.post("/outbox/claim", b"")).status == 200
    assert found == BODIES


async def test_a_bad_query_is_a_problem(client: Client) -> None:
    answers = [await client.get(route) for route in QUERIES]
    assert [(answer.status, answer.code) for answer in answers] == [(422, "invalid")] * len(QUERIES)


async def test_counts_are_a_503_when_the_database_is_away(
    client: Client, postgres_server: EmbeddedPostgres
) -> None:
    name = await client.engine.value("select current_database()")
    async with servers.connected(postgres_server.superuser_url) as superuser:
        await superuser.execute(f"alter database {name} with allow_connections false")
        await superuser.execute(
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        )
        for route in ("/outbox/pending-count", "/commands/pending-count"):
            answer = await client.get(route)
            assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer.body
        event = {"execution_id": 5, "event_type": "x", "step": "", "event_id": 1}
        answer = await client.post("/events/materialize", [event])
        assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer.body
        await superuser.execute(f"alter database {name} with allow_connections true")
    assert (await client.get("/outbox/pending-count")).status == 200
