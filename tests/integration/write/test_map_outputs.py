"""What the items of a map gave: read by deciding where it is small, passed on whole, told from data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

import orjson
import pytest

from engine.domain.handles import MapKey, PayloadKey
from engine.write import payloads
from engine.write.commands import Claimed, Lease, Result
from tests.support.engine import Engine, result_of

MAPPED = """
playbook: t/mapped
inputs: {{items: {{type: array}}}}
steps:
  - {{name: each, tool: noop, map: {{items: "${{ inputs.items }}"{more}}}, with: {{of: "${{ item }}"}},
     retry: {{max_attempts: 1}}}}
  - {{name: use, tool: noop, with: {use}}}
"""
KIB = 1024


def mapped(use: str, more: str = "") -> str:
    return MAPPED.format(use=use, more=more)


async def begun(engine: Engine, source: str, count: int, answer: Callable[[Claimed], object]) -> int:
    """An execution whose items have all given what `answer` says."""
    await engine.register(source)
    execution_id = await engine.start("t/mapped", inputs={"items": list(range(count))})
    done = 0
    while done < count:
        claimed = await engine.claim(100)
        await engine.settle(*(result_of(command, answer(command)) for command in claimed))
        done += len(claimed)
    return execution_id


async def used(engine: Engine) -> Claimed:
    claimed = await engine.claim()
    assert [command.step for command in claimed] == ["use"], await last_of(engine)
    (command,) = claimed
    return command


async def last_of(engine: Engine) -> object:
    """What was recorded last, where nothing is to be done any more."""
    return await engine.value(
        "select payload from playlog.event order by execution_id desc, version desc limit 1"
    )


async def error_of(engine: Engine, execution_id: int) -> dict[str, object]:
    payload = (await engine.log(execution_id))[-1].payload
    assert isinstance(payload, dict)
    error: dict[str, object] = payload["error"]
    return error


def key_of(execution_id: int, opened: int, closed: int) -> str:
    return MapKey(execution_id, "each", opened, closed).uri


@contextmanager
def item_loads(engine: Engine) -> Iterator[list[str]]:
    """What the writers ask of the items of maps."""
    said: list[str] = []

    def note(record: object) -> None:
        query = getattr(record, "query", "")
        if "m.opened" in query:
            said.append(query)

    listened = [writer.connection for writer in engine.appender._writers if writer.connection]
    for connection in listened:
        connection.add_query_logger(note)
    try:
        yield said
    finally:
        for connection in listened:
            connection.remove_query_logger(note)


async def test_a_short_list_is_a_value_and_its_macros_work(engine: Engine) -> None:
    use = (
        """{all: "${ steps.each.output }", big: "${ steps.each.output.filter(n, n.of > 7).map(n, n.of) }"}"""
    )
    await begun(engine, mapped(use), 10, lambda command: orjson.loads(command.input))
    command = await used(engine)
    assert orjson.loads(command.input) == {"all": [{"of": n} for n in range(10)], "big": [8, 9]}
    assert orjson.loads(command.handles) == []


async def test_a_long_list_is_passed_on_whole_and_its_length_is_known_without_reading_it(
    engine: Engine,
) -> None:
    use = """{all: "${ [steps.each.output] }", count: "${ size(steps.each.output) }"}"""
    await begun(engine, mapped(use), 20, lambda _: "x" * 10 * KIB)
    with item_loads(engine) as loads:
        command = await used(engine)
    asked = orjson.loads(command.input)
    assert orjson.loads(command.handles) == [["all", 0]]
    reference = asked["all"][0]["reference"]
    (opened, closed) = await versions(engine, command.execution_id)
    assert reference == {
        "kind": "map",
        "uri": key_of(command.execution_id, opened, closed),
        "bytes": 20 * (10 * KIB + 2 + len("null,")),
        "count": 20,
    }
    assert asked["count"] == 20
    assert loads == []


async def versions(engine: Engine, execution_id: int) -> tuple[int, int]:
    log = await engine.log(execution_id)
    places = {event.event_type: event.version for event in log}
    return places["map.opened"], places["map.closed"]


async def test_one_element_of_a_list_that_is_too_large_to_read_is_read_alone(engine: Engine) -> None:
    use = """{one: "${ steps.each.output[17].of }", none: "${ steps.each.output[?99].orValue('none') }"}"""

    def answer(command: Claimed) -> object:
        return {"of": command.item, "text": "x" * 20 * KIB}

    execution_id = await begun(engine, mapped(use), 20, answer)
    assert orjson.loads((await used(engine)).input) == {"one": 17, "none": "none"}
    assert await engine.types(execution_id)


@pytest.mark.parametrize(
    "use",
    [
        "${ steps.each.output.exists(n, n == 1) }",
        "${ steps.each.output == [] }",
        "${ steps.each.output.map(n, n) }",
        "${ [0, 1, 2, 3].map(a, [0, 1, 2, 3, 4, 5, 6, 7, 8].map(b, steps.each.output[a * 9 + b] == '')) }",
    ],
)
async def test_what_would_load_too_much_fails_before_anything_of_it_is_loaded(
    engine: Engine, use: str
) -> None:
    await engine.register(mapped("{x: '" + use.replace("'", "''") + "'}"))
    execution_id = await engine.start("t/mapped", inputs={"items": list(range(36))})
    claimed = await engine.claim(100)
    await engine.settle(*(result_of(command, "x" * 8 * KIB) for command in claimed[:-1]))
    with item_loads(engine) as loads:
        await engine.settle(result_of(claimed[-1], "x" * 8 * KIB))
    error = await error_of(engine, execution_id)
    assert error["code"] == "value_too_large"
    assert len(loads) == (32 if "a * 9" in use else 0)


async def test_elements_that_are_payloads_stay_references_and_data_that_looks_like_one_stays_data(
    engine: Engine,
) -> None:
    use = """{all: "${ steps.each.output }", one: "${ steps.each.output[1].rows[2] }"}"""
    await engine.register(mapped(use))
    execution_id = await engine.start("t/mapped", inputs={"items": [0, 1, 2]})
    first, second, third = await engine.claim()
    body = orjson.dumps({"rows": [1, 2, 3]})
    key = PayloadKey(execution_id, sha256(body).digest())
    await payloads.store(engine.connection, key, body)
    lease = Lease(second.command_id, second.lease_token)
    reference = {"kind": "ref", "uri": key.uri, "bytes": len(body)}
    await engine.settle(
        result_of(first, {"reference": reference}),
        Result(lease=lease, succeeded=True, value=None, payload_uri=key.uri),
        result_of(third, 3),
    )
    command = await used(engine)
    assert orjson.loads(command.input) == {
        "all": [{"reference": reference}, {"reference": reference}, 3],
        "one": 3,
    }
    assert orjson.loads(command.handles) == [["all", 1]]


async def test_a_parent_passes_on_and_reads_what_the_map_of_its_child_gave(engine: Engine) -> None:
    await engine.register(mapped("{}") + 'output: {rows: "${ steps.each.output }"}')
    await engine.register("""
playbook: t/parent
steps:
  - {name: child, tool: playbook, with: {playbook: t/mapped, inputs: {items: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}}
  - {name: use, tool: noop, with: {rows: "${ steps.child.output.rows }",
     count: "${ size(steps.child.output.rows) }", last: "${ steps.child.output.rows[9].of }"}}
""")
    await engine.start("t/parent")
    await engine.deliver()
    text = "x" * 30 * KIB
    await engine.settle(*(result_of(each, {"of": each.item, "text": text}) for each in await engine.claim()))
    await engine.complete(await used(engine))
    await engine.deliver()
    command = await used(engine)
    asked = orjson.loads(command.input)
    assert (asked["count"], asked["last"]) == (10, 9)
    assert asked["rows"]["reference"]["kind"] == "map"
    assert orjson.loads(command.handles) == [["rows"]]
