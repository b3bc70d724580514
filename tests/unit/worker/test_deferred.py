"""An expression with secrets gives in the worker what it would give where everything is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import orjson
import pytest

from engine.domain.deferred import no_output, remote
from engine.domain.expression import Deferred, ExpressionFailed
from engine.domain.handles import MOST_READ_BYTES, Handle, PayloadKey, written
from engine.language.deferring import compile_deferred, compile_leaf
from engine.language.expressions import Scope, compile_expression
from engine.language.expressions.types import (
    ANY_MAP,
    DOUBLE,
    DYN,
    INT,
    STRING,
    ListType,
    MapType,
    StepsType,
)
from engine.language.secrets import SECRET_TYPE
from worker.commands import Command, read_command
from worker.deferred import evaluated
from worker.tools.contract import ToolFailed

INPUTS = MapType(
    {
        "day": STRING,
        "rate": DOUBLE,
        "rates": ListType(DOUBLE),
        "lines": ListType(MapType({"price": DOUBLE, "id": INT})),
        "more": ANY_MAP,
        "maybe": DYN,
    }
)
SCOPE = Scope(
    names={"inputs": INPUTS, "steps": StepsType(("a", "b"), {"a": ANY_MAP}), "attempt": INT, "order": DYN},
    functions={"secret": SECRET_TYPE},
)
VALUES: dict[str, Any] = {
    "inputs": {
        "day": "2026-01-02",
        "rate": 3,
        "rates": [1, 2.5],
        "lines": [{"price": 2, "id": 1}],
        "more": {"x": {"y": 1}, "n": None},
        "maybe": None,
    },
    "attempt": 2,
    "order": {"id": 7, "tags": ["p", "q"]},
}
OUTPUT = {"list": [1, {"k": "v"}], "map": {"k": 1}}


class Skipped(Mapping[str, object]):
    """A step without an output."""

    def __getitem__(self, key: str) -> object:
        if key == "output":
            raise no_output("b", "skipped")
        return {"status": "skipped", "error": None, "errors": []}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("status", "output", "error", "errors"))

    def __len__(self) -> int:
        return 4


STEPS = {"a": {"status": "completed", "output": OUTPUT, "error": None}, "b": Skipped()}

SAME = [
    "secret('A')",
    "'Bearer ' + secret('A') + inputs.day",
    "secret('A') + string(inputs.rate * 1.5)",
    "inputs.rate / 2.0 > 1.4 ? secret('A') : ''",
    "inputs.rates.map(r, r / 2.0) + [secret('A')]",
    "[inputs.rates, secret('A')]",
    "{'lines': inputs.lines, 'price': inputs.lines[0].price, 'key': secret('A')}",
    "inputs.lines.map(l, {'p': l.price / 2.0, 'k': secret('A'), 'i': l.id / 2})",
    "secret('A') + (has(inputs.more.x) ? 'x' : '-') + (has(inputs.more.z) ? 'z' : '-')",
    "secret('A') + string(inputs.more.?x.?y.orValue(9)) + string(inputs.more.?q.?y.orValue(9))",
    "{?'n': inputs.?maybe, 'k': secret('A'), 's': size(inputs.more)}",
    "[inputs.more.n, inputs.more['x'], secret('A')]",
    "secret('A') + string(size(inputs))",
    "inputs.map(k, k).exists(k, k == 'day') ? secret('A') : ''",
    "['x'].map(inputs, inputs + secret('A'))",
    "secret('A') + inputs.day + ['x'].map(inputs, inputs)[0]",
    "inputs[order.tags.exists(t, t == 'p') ? 'day' : 'rate'] + secret('A')",
    "steps.a.output.list[1].k + secret('A') + steps.b.status",
    "steps.b.status == 'completed' ? steps.b.output.x : secret('A')",
    "{'e': steps.b.error, 'o': steps.a.output, 'k': secret('A')}",
    "secret('A') + string(order.id + attempt) + order.tags.join(secret('B'))",
    "order.?nope.optMap(x, x).orValue(secret('A'))",
]
FAILING = [
    "secret('A') + inputs.more.nope",
    "secret('A') + steps.a.output.nope",
    "secret('A') + steps.b.output.x",
    "secret('A') + (has(steps.b.output) ? 'x' : 'y')",
    "secret('A') + inputs.maybe",
    "secret('A') + string(1 / (attempt - 2))",
    "secret('A') + order.tags[2]",
    "secret('A') + inputs.more.n.x",
    "inputs.rates.map(r, [1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, secret('A') + '"
    + "x" * 2000
    + "')))",
]


LONG = repr("x" * 2000)


def secret(name: str) -> str:
    return f"<{name}>"


def here(source: str) -> object:
    return compile_expression(source, SCOPE).run({**VALUES, "steps": STEPS, "secret": secret})


def there(source: str) -> object:
    deferred = compile_leaf(source, SCOPE).run({**VALUES, "steps": STEPS})
    assert isinstance(deferred, Deferred)
    asked = orjson.loads(written(deferred).encoded)
    expression = compile_deferred(asked["source"], frozenset(asked["values"]), asked.get("doubles"))
    return expression.run({**remote(asked["values"]), "secret": secret})


@pytest.mark.parametrize("source", SAME)
def test_an_expression_gives_the_same_here_and_there(source: str) -> None:
    assert orjson.dumps(there(source)) == orjson.dumps(here(source))


@pytest.mark.parametrize("source", [source.replace("LONG", LONG) for source in FAILING])
def test_an_expression_fails_alike_here_and_there(source: str) -> None:
    with pytest.raises(ExpressionFailed) as expected:
        here(source)
    with pytest.raises(ExpressionFailed) as found:
        there(source)
    assert found.value.code == expected.value.code
    # What is near a missing key is known here only: its neighbours stay behind.
    assert found.value.detail.partition("; ")[0] == expected.value.detail.partition("; ")[0]


def asked(source: str, values: object, *handles: list[str | int]) -> Command:
    row: dict[str, object] = {"command_id": "1", "lease_token": "2", "execution_id": "77", "tool": "http"}
    value = {"x": {"source": source, "values": values}, "y": {"source": "secret('A')", "values": {}}}
    return read_command({**row, "input": value, "handles": list(handles), "deferred": [["x"]]}, 0.0)


def large(size: int) -> dict[str, object]:
    uri = PayloadKey(77, sha256(b"x").digest()).uri
    return {"reference": {"kind": "ref", "uri": uri, "bytes": size}}


def test_only_the_places_told_are_evaluated() -> None:
    command = asked("secret('A') + inputs.day", {"inputs": {"day": "!"}})
    result: Any = evaluated(command, command.input, secret)
    assert result == {"x": "<A>!", "y": {"source": "secret('A')", "values": {}}}


def test_a_payload_is_passed_on_however_large_and_read_up_to_256_kib() -> None:
    content = {"rows": ["r" * MOST_READ_BYTES]}
    place: list[str | int] = ["x", "values", "steps", "a", "output"]

    def run(source: str, size: int) -> Any:
        values = {"steps": {"a": {"status": "completed", "output": large(size)}}}
        command = asked(source, values, place)
        fetched = orjson.loads(orjson.dumps(command.input))
        fetched["x"]["values"]["steps"]["a"]["output"] = content
        return evaluated(command, fetched, secret)

    whole = run("{'all': [steps.a.output], 'key': secret('A')}", 5 * 2**20)
    assert whole["x"] == {"all": [content], "key": "<A>"}
    assert run("secret('A') + string(size(steps.a.output.rows))", MOST_READ_BYTES)["x"] == "<A>1"
    with pytest.raises(ToolFailed, match=r"steps\.a\.output has 262145 bytes") as refused:
        run("secret('A') + string(size(steps.a.output.rows))", MOST_READ_BYTES + 1)
    assert refused.value.code == "value_too_large"


@pytest.mark.parametrize("size", [20, 5 * 2**20])
def test_of_a_list_that_a_map_gave_the_length_and_elements_are_read_however_large(size: int) -> None:
    reference = {"kind": "map", "uri": "map:77/a/3-9/outputs", "bytes": size, "count": 2}
    source = "secret('A') + steps.a.output[1] + string(size(steps.a.output))"
    values = {"steps": {"a": {"status": "completed", "output": {"reference": reference}}}}
    command = asked(source, values, ["x", "values", "steps", "a", "output"])
    fetched = orjson.loads(orjson.dumps(command.input))
    fetched["x"]["values"]["steps"]["a"]["output"] = ["one", "two"]
    result: Any = evaluated(command, fetched, secret)
    assert result["x"] == "<A>two2"


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("secret('A') + inputs.nope", "expression_error", "missing_key: inputs.nope: no such key"),
        ("secret('A') + 1 +", "validation", "this worker cannot read an expression"),
        ("secret('A') + output", "expression_error", "not_available: 'output' is not available here"),
    ],
)
def test_a_failure_is_an_error_of_the_attempt(source: str, code: str, message: str) -> None:
    command = asked(source, {"inputs": {}})
    with pytest.raises(ToolFailed) as failed:
        evaluated(command, command.input, secret)
    assert failed.value.code == code
    assert failed.value.message.startswith(message)


def test_what_is_sent_holds_the_handles_it_names_and_no_value_of_a_secret() -> None:
    handle = Handle({"kind": "ref", "uri": "payload:1/" + "0" * 64, "bytes": 70_000}, "steps.a.output", max)
    steps = {"a": {"status": "completed", "output": handle}}
    deferred = compile_leaf("{'o': steps.a.output, 'k': secret('A')}", SCOPE).run({"steps": steps})
    sent = written({"deep": [deferred]})
    assert sent.deferred == [["deep", 0]]
    assert sent.places == [["deep", 0, "values", "steps", "a", "output"]]
