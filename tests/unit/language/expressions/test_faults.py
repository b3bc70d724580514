"""A refused source says where and why: one fault for its syntax, all of them for its types."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.errors import Invalid
from engine.language.expressions import ExpressionFault, Fault, Scope, compile_expression
from engine.language.expressions.types import DYN

SYNTAX = [
    ("", "1:1: the expression is empty"),
    (" \n // nothing\n", "1:1: the expression is empty"),
    ("1 +", "1:4: unexpected the end, expected a value"),
    ("1 + * 2", "1:5: unexpected '*', expected a value"),
    ("(1", "1:3: unexpected the end, expected ')'"),
    ("1)", "1:2: unexpected ')', expected an operator or the end"),
    ("[1, 2", "1:6: unexpected the end, expected ']'"),
    ("[1 2]", "1:4: unexpected '2', expected ']'"),
    ("[,]", "1:2: unexpected ',', expected a value"),
    ("[?]", "1:3: unexpected ']', expected a value"),
    ("x[?]", "1:4: unexpected ']', expected a value"),
    ("size(?x)", "1:6: unexpected '?', expected a value"),
    ("{?}", "1:3: unexpected '}', expected a value"),
    ("{'a'}", "1:5: unexpected '}', expected ':'"),
    ("{'a': 1", "1:8: unexpected the end, expected '}'"),
    ("x.", "1:3: unexpected the end, expected a name"),
    ("x.1", "1:2: unexpected '.1', expected an operator or the end"),
    ("x.in", "1:3: unexpected 'in', expected a name"),
    ("x[", "1:3: unexpected the end, expected a value"),
    ("x ? 1", "1:6: unexpected the end, expected ':'"),
    ("x y", "1:3: unexpected 'y', expected an operator or the end"),
    ("x = 1", "1:3: unexpected character '=', did you mean '=='?"),
    ("x & x", "1:3: unexpected character '&', did you mean '&&'?"),
    ("x | x", "1:3: unexpected character '|', did you mean '||'?"),
    ("x\n  == §", "2:6: unexpected character '§'"),
    ("'日本' + §", "1:8: unexpected character '§'"),
    ("if", "1:1: 'if' is a reserved word"),
    ("x == while", "1:6: 'while' is a reserved word"),
    ("[1,\n 2,\n\n  }", "4:3: unexpected '}', expected a value"),
    ("'a\\\nb'", "1:1: this string is not closed"),
    ("'''a\nb''' +\r\n )", "3:2: unexpected ')', expected a value"),
]


@pytest.mark.parametrize(("source", "fault"), SYNTAX)
def test_a_syntax_fault_is_shown_at_its_place(
    faults: Callable[..., list[str]],
    source: str,
    fault: str,
) -> None:
    assert faults(source, Scope(names={"x": DYN})) == [fault]


def test_all_faults_of_types_are_found_at_once_in_the_order_of_the_source(
    faults: Callable[..., list[str]],
) -> None:
    assert faults("(1 + 'a' == size(2)\n && nope) || x.foo() ? 'a' - 1 : -null", Scope(names={"x": DYN})) == [
        "1:4: '+' has no meaning for an int and a string, write string(...)",
        "1:18: size() takes a list or a map or a string here, not an int",
        "2:5: there is no name 'nope' here, there are 'x'",
        "2:16: there is no method foo()",
        "2:28: '-' has no meaning for a string and an int",
        "2:34: '-' has no meaning for null",
    ]


def test_one_mistake_is_one_fault(faults: Callable[..., list[str]]) -> None:
    assert faults("nope.a.b[0].c + 1 > 2 && nope.d") == [
        "1:1: there is no name 'nope' here",
        "1:26: there is no name 'nope' here",
    ]


def test_at_most_twenty_faults_are_told(faults: Callable[..., list[str]]) -> None:
    assert len(faults(" + ".join(f"n{index}" for index in range(50)))) == 20


def test_a_fault_carries_its_place_and_its_hint() -> None:
    with pytest.raises(ExpressionFault) as caught:
        compile_expression("\n  imputs.day + nope", Scope(names={"inputs": DYN}))
    fault = caught.value
    assert (fault.message, fault.line, fault.column) == ("there is no name 'imputs' here", 2, 3)
    assert fault.hint == "did you mean 'inputs'?"
    assert fault.faults == (
        Fault("there is no name 'imputs' here", 2, 3, "did you mean 'inputs'?"),
        Fault("there is no name 'nope' here", 2, 16, "there are 'inputs'"),
    )
    assert isinstance(fault, Invalid)
    assert str(fault) == (
        "2:3: there is no name 'imputs' here, did you mean 'inputs'?; "
        "2:16: there is no name 'nope' here, there are 'inputs'"
    )


def test_a_word_reserved_as_a_name_is_free_as_a_key(evaluate: Callable[..., object]) -> None:
    assert evaluate("x.if + x.while + x.package", {"x": {"if": 1, "while": 2, "package": 3}}) == 6
