"""What is known of the names is checked before an expression ever runs, and what it reads is known too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, analyse_expression, compile_expression
from engine.language.expressions.types import (
    ANY_MAP,
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    FunctionType,
    ListType,
    MapType,
    StepsType,
    Type,
)

INPUTS = MapType(
    {
        "day": STRING,
        "limit": INT,
        "rate": DOUBLE,
        "dry": BOOL,
        "items": ListType(MapType({"price": DOUBLE}, others=DYN)),
        "rates": ListType(DOUBLE),
        "extra": ANY_MAP,
    },
)
SCOPE = Scope(
    names={
        "inputs": INPUTS,
        "steps": StepsType(("fetch", "price"), outputs={"price": ListType(INT)}),
        "execution": MapType({"id": STRING, "started_at": STRING}),
        "attempt": INT,
        "error": DYN,
    },
    functions={"secret": FunctionType((STRING,), STRING)},
)

TYPES: list[tuple[str, Type]] = [
    ("inputs", INPUTS),
    ("inputs.day", STRING),
    ("inputs['limit'] + 1", INT),
    ("inputs.rate * 2.0", DOUBLE),
    ("inputs.items[0].price", DOUBLE),
    ("inputs.items[attempt].other", DYN),
    ("inputs.items.map(i, i.price)", ListType(DOUBLE)),
    ("inputs.items.filter(i, i.price > 1)", ListType(MapType({"price": DOUBLE}, others=DYN))),
    ("inputs[inputs.day]", DYN),
    ("inputs.extra.what[0].ever", DYN),
    ("inputs.extra[inputs.day]", DYN),
    ("inputs.?day.orValue('x')", STRING),
    ("inputs.?limit.orValue(null)", DYN),
    ("steps.fetch.output", DYN),
    ("steps.fetch.output.body.orders", DYN),
    ("steps.fetch.status", STRING),
    ("steps.price.output[0] + 1", INT),
    ("steps.price.?output.orValue([1])", ListType(INT)),
    ("has(steps.fetch.output)", BOOL),
    ("size(steps.price.output) > 0", BOOL),
    ("execution.id + ''", STRING),
    ("secret('A') + 'x'", STRING),
    ("error.status in [429]", BOOL),
    ("error + 1", INT),
    ("error * error", DYN),
    ("-error", DYN),
    ("inputs.dry ? 1 : 2", INT),
    ("inputs.dry ? 1 : 'a'", DYN),
    ("[1, 2]", ListType(INT)),
    ("[1, 'a']", ListType(DYN)),
    ("[]", ListType(DYN)),
    ("[1] + [2]", ListType(INT)),
    ("'a,b'.split(',')", ListType(STRING)),
    ("{'a': 1}.a", INT),
    ("{1: 'a'}[attempt]", DYN),
    ("optional.of(1).value()", INT),
    ("null", NULL),
    ("int(error)", INT),
    ("dyn(1)", DYN),
    ("inputs.?limit.optMap(x, x + 1).value()", INT),
    ("inputs.?limit.or(optional.of(2)).value()", INT),
    ("[?inputs.?day]", ListType(STRING)),
    ("{?'a': inputs.?day}", MapType(others=DYN, key=DYN)),
    ("timestamp(inputs.day) + duration('1h')", TIMESTAMP),
    ("timestamp(1) - timestamp(0)", DURATION),
    ("timestamp(error) - error", DYN),
    ("timestamp(0).getMonth()", INT),
    ("type(error) == timestamp(0)", BOOL),
]


@pytest.mark.parametrize(("source", "type_"), TYPES)
def test_an_expression_has_a_type(source: str, type_: Type) -> None:
    assert analyse_expression(source, SCOPE).type == type_


FAULTS = [
    ("input.day", "1:1: there is no name 'input' here, did you mean 'inputs'?"),
    ("inputs.dya", "1:8: 'inputs' has no key 'dya', did you mean 'day'?"),
    ("inputs['dya']", "1:8: 'inputs' has no key 'dya', did you mean 'day'?"),
    ("inputs.?dya.orValue(1)", "1:9: 'inputs' has no key 'dya', did you mean 'day'?"),
    ("has(inputs.dya)", "1:12: 'inputs' has no key 'dya', did you mean 'day'?"),
    ("execution.zone", "1:11: 'execution' has no key 'zone', there are 'id', 'started_at'"),
    ("inputs.day.x", "1:12: a string has no keys"),
    ("inputs.items.x", "1:14: a list has no keys, index it by an int, or use .map(...)"),
    ("inputs.items['x']", "1:14: a list is indexed by an int, not a string"),
    ("inputs.items[inputs.day]", "1:14: a list is indexed by an int, not a string"),
    ("inputs.extra[1.5]", "1:14: a map is indexed by a string or an int, not a double"),
    ("inputs.day[0]", "1:11: a string cannot be indexed"),
    ("inputs.day + 1", "1:12: '+' has no meaning for a string and an int, write string(...)"),
    ("inputs.rate + 1", "1:13: '+' has no meaning for a double and an int, write double(...)"),
    ("'a' in inputs.day", "1:5: 'in' needs a list or a map on its right, not a string, use .contains(...)"),
    ("[1] in inputs.extra", "1:5: a list is never a key of a map"),
    ("inputs.limit ? 1 : 2", "1:1: the condition of '?:' needs a bool, not an int"),
    ("!inputs.day", "1:2: '!' needs a bool, not a string"),
    ("-inputs.day", "1:1: '-' has no meaning for a string"),
    ("inputs.dry && inputs.day", "1:15: '&&' needs a bool, not a string"),
    ("steps.fetsh.output", "1:7: there is no step 'fetsh', did you mean 'fetch'?"),
    ("steps['fetsh'].output", "1:7: there is no step 'fetsh', did you mean 'fetch'?"),
    ("steps.zzz.output", "1:7: there is no step 'zzz', there are 'fetch', 'price'"),
    ("steps.fetch.ouput", "1:13: 'steps.fetch' has no key 'ouput', did you mean 'output'?"),
    ("steps.fetch", "1:7: 'steps.fetch' is no value, select .output, .status or .error of it"),
    ("[steps.fetch]", "1:8: 'steps.fetch' is no value, select .output, .status or .error of it"),
    ("steps.?fetch.orValue(1)", "1:8: 'steps.fetch' is no value, select .output, .status or .error of it"),
    (
        "steps.?fetch.optMap(s, s.output).value()",
        "1:8: 'steps.fetch' is no value, select .output, .status or .error of it",
    ),
    ("steps == null", "1:1: 'steps' is no value, select a step: steps.name.output"),
    ("steps.exists(s, true)", "1:1: 'steps' is no value, select a step: steps.name.output"),
    (
        "steps[inputs.day].output",
        (
            "1:7: 'steps' is indexed by a constant string only: which steps are read must be known, "
            "write steps['name']"
        ),
    ),
    (
        "steps.fetch[inputs.day]",
        (
            "1:13: 'steps.fetch' is indexed by a constant string only: which steps are read must be known, "
            "write steps.name['output']"
        ),
    ),
    ("secret(1)", "1:8: secret() takes a string here, not an int"),
    ("secret()", "1:1: secret() takes 1 argument, not 0"),
    ("'a'.secret()", "1:5: there is no method secret(), write secret(...)"),
    ("secrt('A')", "1:1: there is no function secrt(), did you mean 'secret'?"),
]


@pytest.mark.parametrize(("source", "fault"), FAULTS)
def test_what_cannot_be_right_is_refused(faults: Callable[..., list[str]], source: str, fault: str) -> None:
    assert faults(source, SCOPE) == [fault]


READS = [
    ("1", set(), False),
    ("inputs.day", set(), True),
    ("steps.fetch.output", {"fetch"}, False),
    ("steps['fetch'].output.x + steps.price['output'][0]", {"fetch", "price"}, False),
    ("steps.fetch.status == 'completed'", set(), False),
    ("has(steps.fetch.output)", {"fetch"}, False),
    ("steps.?fetch.?output.?x.orValue(inputs.day)", {"fetch"}, True),
    ("false && steps.price.output[0] > 1", {"price"}, False),
    ("steps.?fetch.?status.optMap(x, 1).hasValue()", set(), False),
    ("steps[?'fetch'].?output.optMap(o, o.x).or(steps.price.?output).hasValue()", {"fetch", "price"}, False),
    ("[?steps.fetch.?output]", {"fetch"}, False),
    ("{?'a': steps.fetch[?'output']}", {"fetch"}, False),
    ("has(steps['fetch'].output.body)", {"fetch"}, False),
    ("inputs.items.map(i, steps.fetch.output[i.price])", {"fetch"}, True),
    ("[1].map(inputs, inputs + 1)", set(), False),
    ("[{'fetch': {'output': 1}}].map(steps, steps.fetch.output)", set(), False),
]


@pytest.mark.parametrize(("source", "reads", "inputs"), READS)
def test_what_an_expression_reads_is_known(source: str, reads: set[str], *, inputs: bool) -> None:
    expression = compile_expression(source, SCOPE)
    assert expression.reads == reads
    assert expression.inputs is inputs
    assert expression.source == source


def test_the_names_and_the_functions_of_the_host_are_known() -> None:
    analysis = analyse_expression("secret('DSN') + string(attempt) + inputs.day", SCOPE)
    assert analysis.names == {"attempt", "inputs"}
    assert analysis.calls == {"secret"}
    assert analyse_expression("inputs.day", SCOPE).calls == set()


def test_a_function_of_the_host_is_called_with_the_values() -> None:
    expression = compile_expression("secret('A' + 'B') + '!'", SCOPE)
    assert expression.run({"secret": {"AB": "hidden"}.__getitem__}) == "hidden!"
    with pytest.raises(ExpressionFailed, match="not_available"):
        expression.run({})
    with pytest.raises(ExpressionFailed, match="type_mismatch"):
        expression.run({"secret": "no function"})


def test_what_is_declared_double_is_a_double_even_when_the_data_holds_an_int() -> None:
    inputs = {"rate": 2, "rates": [1, 2.5], "items": [{"price": 3}]}
    for source, value in [
        ("inputs.rate * 1.5", 3.0),
        ("inputs.rates[0] + inputs.rates[1]", 3.5),
        ("inputs.rates.map(r, r / 2.0)", [0.5, 1.25]),
        ("inputs.items.map(i, i.price - 0.5)", [2.5]),
        ("inputs.?rate.orValue(1.0) * 2.0", 4.0),
        ("-inputs.rate + 0.5", -1.5),
    ]:
        assert compile_expression(source, SCOPE).run({"inputs": inputs}) == value


EXPECTED: list[tuple[str, Type, str]] = [
    ("1 + 1", BOOL, "1:1: a bool is expected here, and this is an int"),
    (" inputs.day + 'x'", BOOL, "1:2: a bool is expected here, and this is a string"),
    ("inputs.dry", ListType(), "1:1: a list is expected here, and this is a bool"),
]


@pytest.mark.parametrize(("source", "expected", "fault"), EXPECTED)
def test_a_result_of_the_wrong_type_is_refused(source: str, expected: Type, fault: str) -> None:
    with pytest.raises(Exception, match=fault):
        compile_expression(source, SCOPE, expected=expected)


def test_a_result_whose_type_is_not_known_is_checked_when_it_runs() -> None:
    guard = compile_expression("error.flag", SCOPE, expected=BOOL)
    assert guard.run({"error": {"flag": True}}) is True
    with pytest.raises(ExpressionFailed, match="the expression gives an int, and a bool is expected"):
        guard.run({"error": {"flag": 1}})
    amount = compile_expression("error", SCOPE, expected=DOUBLE)
    assert amount.run({"error": 1}) == 1


def test_a_time_is_a_string_as_a_result() -> None:
    until = compile_expression(
        "timestamp(inputs.day + 'T06:00:00Z') + duration('1h')", SCOPE, expected=STRING
    )
    assert until.run({"inputs": {"day": "2026-01-02"}}) == "2026-01-02T07:00:00Z"
    with pytest.raises(ExpressionFault, match="a bool is expected here, and this is a timestamp"):
        compile_expression("timestamp(0)", SCOPE, expected=BOOL)
