"""A text is an expression only when it is wholly `${ ... }`."""

from __future__ import annotations

import pytest

from engine.domain.expression import Expression
from engine.language.templates import compile_template, expression_in


def named(source: str) -> Expression:
    """Stand for a compiler: an expression that reads the step its source names."""
    name = source.strip()
    return Expression(source=source, reads=frozenset({name}), inputs=name == "inputs", run=lambda _: name)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("${a}", "a"),
        ("${ a }", " a "),
        ("  ${ a }\n", " a "),
        ("${ {'a': {'b': 1}} }", " {'a': {'b': 1}} "),
        ("${ '}' }", " '}' "),
        ("${ \"}'\" + '${x}' }", " \"}'\" + '${x}' "),
        ("${ '\\'}' }", " '\\'}' "),
        ("${ '''}'}''' }", " '''}'}''' "),
        ("${ r'\\' }", " r'\\' "),
        ("${}", ""),
    ],
)
def test_what_is_wholly_an_expression_is_one(text: str, source: str) -> None:
    found = expression_in(text)
    assert found is not None
    assert found[0] == source
    assert text.startswith(source, found[1])


@pytest.mark.parametrize("text", ["", "a", "$", "{a}", "$a", "$ {a}", "}"])
def test_other_text_is_text(text: str) -> None:
    assert expression_in(text) is None


@pytest.mark.parametrize("text", ["a${b}", "${a}b", "${a}${b}", "${a", "${ 'a }", "${ {a }", "x ${"])
def test_an_expression_beside_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"inside other text|no closing"):
        expression_in(text)


def test_a_template_knows_what_all_its_expressions_read() -> None:
    template = compile_template({"a": ["${ one }", 1], "b": {"c": "${ inputs }"}, "d": "plain"}, named)
    assert template.reads == {"one", "inputs"}
    assert template.inputs
    assert template.render({}) == {"a": ["one", 1], "b": {"c": "inputs"}, "d": "plain"}


def test_a_template_without_expressions_is_constant() -> None:
    template = compile_template({"a": [1, "b", None]}, named)
    assert template.constant
    assert template.render({}) == {"a": [1, "b", None]}
