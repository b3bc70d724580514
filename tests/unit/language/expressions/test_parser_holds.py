"""Whatever is written, the compiler answers with an expression or with faults placed inside the source."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, compile_expression
from engine.language.expressions.types import DYN, INT, MapType, StepsType

SCOPE = Scope(names={"a": DYN, "i": INT, "inputs": MapType({"day": DYN}), "steps": StepsType(("s",))})
VALUES = {"a": {"b": [1, "x", None]}, "i": 3, "inputs": {"day": "x"}, "steps": {"s": {"output": 1}}}

NAMES = "a i b x inputs steps s day output size has map filter exists all split optional of none or orValue "
NAMES += "optMap optFlatMap type timestamp duration getHours string google protobuf Duration lastIndexOf"
WORDS = "true false null in if 0 1 2.5 .5 0x1f 1u 'x' \"y\" r'z' '''w''' b'v' '\\n' '\\q' ' \" § €"
SIGNS = "( ) [ ] { } , : . .? [? ? + - * / % ! < <= == != > >= && || & = //"
PIECES = [*NAMES.split(), *WORDS.split(), *SIGNS.split(), "\n"]


def _holds(source: str) -> None:
    try:
        expression = compile_expression(source, SCOPE)
    except ExpressionFault as refused:
        lines = source.split("\n")
        for fault in refused.faults:
            assert 1 <= fault.line <= len(lines)
            assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
        return
    try:
        expression.run(VALUES)
    except ExpressionFailed:
        return


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_has_faults(source: str) -> None:
    _holds(source)


@settings(max_examples=700, deadline=None, database=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(["", " "]))
def test_any_row_of_tokens_is_an_expression_or_has_faults(pieces: list[str], gap: str) -> None:
    _holds(gap.join(pieces))
