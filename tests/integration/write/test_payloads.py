"""Large outputs: stored first, referred to only when stored, read by deciding only where it must."""

from __future__ import annotations

from hashlib import sha256

import orjson
import pytest

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
from engine.domain.handles import MOST_BYTES, PayloadKey
from engine.errors import Invalid, NotFound, TooLarge
from engine.write import payloads
from engine.write.append import Context, append
from engine.write.commands import Claimed, Lease, Result
from engine.write.materialize import Intake
from engine.write.requests import Request
from tests.support.engine import Engine, result_of
from tests.support.projecting import append_foreign, foreign

PLAYBOOK = """
playbook: t/large
steps:
  - {name: big, tool: noop}
  - {name: use, when: "size(steps.big.output.rows) > 0", tool: noop,
     with: {all: "${ steps.big.output }", count: "${ size(steps.big.output.rows) }"}}
output: "${ {'rows': steps.big.output} }"
"""
ONE = "{playbook: t/one, steps: [{name: big, tool: noop}]}"


def body_of(count: int) -> bytes:
    return orjson.dumps({"rows": [f"row {place:>10}" for place in range(count)]})


MEDIUM, LARGE = body_of(8_000), body_of(40_000)
assert 64 * 1024 < len(MEDIUM) <= 256 * 1024 < len(LARGE)


async def put(engine: Engine, execution_id: int, body: bytes) -> PayloadKey:
    key = PayloadKey(execution_id, sha256(body).digest())
    await payloads.store(engine.connection, key, body)
    return key


def referring(command: Claimed, uri: str) -> Result:
    lease = Lease(command.command_id, command.lease_token)
    return Result(lease=lease, succeeded=True, value=None, payload_uri=uri)


async def begun(engine: Engine, source: str = PLAYBOOK) -> Claimed:
    registered = await engine.register(source)
    await engine.start(registered.path)
    (command,) = await engine.claim()
    return command


async def test_a_payload_is_stored_once_in_the_partition_of_its_execution(engine: Engine) -> None:
    command = await begun(engine, ONE)
    key = PayloadKey(command.execution_id, sha256(MEDIUM).digest())
    assert await payloads.store(engine.connection, key, MEDIUM)
    assert not await payloads.store(engine.connection, key, MEDIUM)
    rows = await engine.connection.fetch(
        "select replace(p.tableoid::regclass::text, 'payload', 'event') = e.tableoid::regclass::text, bytes"
        " from playlog.payload p join playlog.event e using (execution_id) where e.version = 1"
    )
    assert [tuple(row) for row in rows] == [(True, len(MEDIUM))]


async def test_bytes_with_another_hash_too_many_or_of_nobody_are_not_stored(engine: Engine) -> None:
    command = await begun(engine, ONE)
    other = PayloadKey(command.execution_id, sha256(b"other").digest())
    with pytest.raises(Invalid, match="hash"):
        await payloads.store(engine.connection, other, MEDIUM)
    with pytest.raises(TooLarge):
        await payloads.store(engine.connection, other, bytes(MOST_BYTES + 1))
    with pytest.raises(NotFound):
        await put(engine, command.execution_id + 1, MEDIUM)
    assert await engine.value("select count(*) from playlog.payload") == 0


async def test_a_guard_reads_a_referenced_output_and_the_next_command_gets_the_reference(
    engine: Engine,
) -> None:
    big = await begun(engine)
    key = await put(engine, big.execution_id, MEDIUM)
    settled = await engine.settle(referring(big, key.uri))
    assert settled.count(Verdict.RECORDED) == 1
    (use,) = await engine.claim()
    reference = {"kind": "ref", "uri": key.uri, "bytes": len(MEDIUM)}
    assert orjson.loads(use.input) == {"all": {"reference": reference}, "count": 8_000}
    assert orjson.loads(use.handles) == [["all"]]
    await engine.complete(use)
    *_, last = await engine.log(big.execution_id)
    assert last.payload == {"output": {"rows": {"reference": reference}}, "handles": [["rows"]]}
    largest = "select max(octet_length(payload)) from playlog."
    assert await engine.value(f"{largest}outbox") < 4_000  # type: ignore[operator]


async def test_reading_more_than_256_kib_fails_the_step_and_says_which_value(engine: Engine) -> None:
    big = await begun(engine)
    key = await put(engine, big.execution_id, LARGE)
    await engine.settle(referring(big, key.uri))
    *_, failed = await engine.log(big.execution_id)
    assert isinstance(failed.payload, dict)
    error = failed.payload["error"]
    assert (error["code"], error["step"]) == ("value_too_large", "use")
    assert f"steps.big.output has {len(LARGE)} bytes" in error["message"]


async def test_what_is_stored_as_no_json_fails_who_reads_it_and_not_who_passes_it_on(engine: Engine) -> None:
    big = await begun(engine)
    key = await put(engine, big.execution_id, b"\xff" * 70_000)
    await engine.settle(referring(big, key.uri))
    *_, failed = await engine.log(big.execution_id)
    assert isinstance(failed.payload, dict)
    assert failed.payload["error"]["code"] == "expression_error"


async def test_a_result_that_refers_to_nothing_is_rejected_while_others_land(engine: Engine) -> None:
    await engine.register(ONE)
    ids = [await engine.start("t/one") for _ in range(4)]
    commands = {command.execution_id: command for command in await engine.claim()}
    theirs = await put(engine, ids[0], MEDIUM)
    own = await put(engine, ids[3], MEDIUM)
    settled = await engine.settle(
        referring(commands[ids[1]], theirs.uri),
        referring(commands[ids[2]], "payload:nonsense"),
        result_of(commands[ids[0]], "small"),
        referring(commands[ids[3]], own.uri),
    )
    assert [verdict.code for verdict in settled.verdicts] == ["unknown_payload", "unknown_payload", "", ""]
    assert [(await engine.state(each)).status for each in ids] == [
        *("completed", "running", "running", "completed")
    ]


async def test_a_reference_sent_again_is_a_duplicate_and_one_too_late_is_late(engine: Engine) -> None:
    big = await begun(engine)
    key = await put(engine, big.execution_id, MEDIUM)
    await engine.settle(referring(big, key.uri))
    again = await engine.settle(referring(big, key.uri))
    late = await engine.settle(result_of(big, "another"))
    assert (again.verdicts[0].verdict, late.verdicts[0].verdict) == (Verdict.DUPLICATE, Verdict.LATE)


async def test_native_events_refer_to_payloads_by_the_same_rule(engine: Engine) -> None:
    intake = Intake(engine.appender, engine.checkout)
    big = await begun(engine)
    key = await put(engine, big.execution_id, MEDIUM)
    settling = {
        "execution_id": big.execution_id,
        "step": "big",
        "event_type": "command.completed",
        "result_kind": "ref",
        "command_id": big.command_id,
        "lease_token": big.lease_token,
    }
    elsewhere = {"execution_id": big.execution_id, "step": "", "event_type": "seen", "result_kind": "ref"}
    forged = {"status": "RUNNING", "reference": {"kind": "ref", "uri": f"{key.uri[:-1]}0", "bytes": 5}}
    answer = await intake.materialize(
        [
            settling | {"result_uri": f"{key.uri[:-2]}00"},
            elsewhere | {"result_uri": "s3://bucket/key"},
            elsewhere | {"result_kind": "data", "payload": forged},
            settling | {"result_uri": key.uri},
        ]
    )
    assert [(refused.index, refused.code) for refused in answer.rejected] == [
        (0, "unknown_payload"),
        (2, "unknown_payload"),
    ]
    assert answer.materialized == 2
    (use,) = await engine.claim()
    assert orjson.loads(use.handles) == [["all"]]


async def test_a_foreign_execution_may_keep_payloads_and_refer_to_them(engine: Engine) -> None:
    execution_id = await engine.value("select (playlog.new_ids(1))[1]")
    assert isinstance(execution_id, int)
    await append_foreign(engine.connection, execution_id, foreign("begun", 1))
    key = await put(engine, execution_id, MEDIUM)
    event = {"execution_id": execution_id, "step": "s", "event_type": "done", "result_kind": "ref"}
    intake = Intake(engine.appender, engine.checkout)
    answer = await intake.materialize([event | {"result_uri": key.uri}, event | {"result_uri": key.uri[:-1]}])
    assert (answer.materialized, [refused.code for refused in answer.rejected]) == (1, ["unknown_payload"])
    *_, done = await engine.log(execution_id)
    reference = {"kind": "ref", "uri": key.uri, "bytes": len(MEDIUM)}
    assert done.payload == {"status": "COMPLETED", "reference": reference}


async def test_an_append_asks_for_payloads_only_where_an_event_refers_to_one(engine: Engine) -> None:
    await engine.register(ONE)
    ids = [await engine.start("t/one") for _ in range(2)]
    one, two = sorted(await engine.claim(), key=lambda command: command.execution_id)
    key = await put(engine, ids[1], MEDIUM)
    counts = []
    for command, said in ((one, {"data": "small"}), (two, {"reference": {"kind": "ref", "uri": key.uri}})):
        event = NewEvent(
            event_type="command.completed",
            status="COMPLETED",
            payload={"status": "COMPLETED", **said},
            command_id=command.command_id,
            lease_token=command.lease_token,
        )
        asked: list[str] = []
        with engine.connection.query_logger(lambda record, asked=asked: asked.append(record.query)):
            await append(
                engine.connection, [Request(execution_id=command.execution_id, events=(event,))], Context()
            )
        counts.append(sum("playlog.payload" in query for query in asked))
    assert counts == [0, 1]
