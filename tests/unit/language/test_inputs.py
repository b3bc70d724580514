"""Inputs are checked against what the playbook declares, and defaults are applied."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.definition import Definition
from engine.errors import Invalid
from engine.language import check_inputs, parse


def declaring(inputs: str) -> Definition:
    return parse(f"playbook: a\ninputs: {inputs}\nsteps: [{{name: a, tool: noop}}]".encode()).definition


def misfits(definition: Definition, given: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(Invalid) as refused:
        check_inputs(definition, given)
    assert refused.value.code == "invalid_inputs"
    errors: list[dict[str, Any]] = refused.value.data["errors"]
    return errors


def test_defaults_fill_what_is_not_given() -> None:
    definition = declaring("{day: {type: string}, limit: {type: integer, default: 100}}")
    assert check_inputs(definition, {"day": "monday"}) == {"day": "monday", "limit": 100}
    assert check_inputs(definition, {"day": "monday", "limit": 1}) == {"day": "monday", "limit": 1}


def test_everything_that_does_not_fit_is_reported_with_its_path() -> None:
    definition = declaring(
        "{day: {type: string, format: date}, limit: {type: integer}, kind: {type: string, enum: [a, b]},"
        " deep: {type: object, properties: {list: {type: array, items: {type: number}}}}}"
    )
    given = {"day": "tomorrow", "limits": 1, "kind": "c", "deep": {"list": [1, "2"]}}
    assert misfits(definition, given) == [
        {"loc": ["inputs", "limits"], "msg": 'unknown name, did you mean "limit"?', "type": "unknown"},
        {"loc": ["inputs", "day"], "msg": "must be a date such as 2026-01-31", "type": "format"},
        {"loc": ["inputs", "deep", "list", 1], "msg": "must be a finite number", "type": "type"},
        {"loc": ["inputs", "kind"], "msg": "must be a or b", "type": "enum"},
        {"loc": ["inputs", "limit"], "msg": "a value is required", "type": "missing"},
    ]


@pytest.mark.parametrize(
    ("kind", "fitting", "other"),
    [
        ("string", ["", "x"], [1, None, ["x"]]),
        ("integer", [0, -(2**63)], [True, 1.0, "1", 2**63, None]),
        ("number", [0, 1.5], [True, "1", float("nan"), float("inf")]),
        ("boolean", [True, False], [0, 1, "true"]),
        ("array", [[], [1, "a"]], [{}, "a", None]),
        ("object", [{}, {"a": 1}], [[], "a", None]),
        ("any", [None, 1, "a", [], {}], []),
    ],
)
def test_types_are_those_of_json(kind: str, fitting: list[object], other: list[object]) -> None:
    definition = declaring(f"{{x: {{type: {kind}}}}}")
    for value in fitting:
        assert check_inputs(definition, {"x": value}) == {"x": value}
    for value in other:
        assert [misfit["type"] for misfit in misfits(definition, {"x": value})] == ["type"]


def test_a_number_is_always_a_float_so_that_expressions_know_its_type() -> None:
    assert isinstance(check_inputs(declaring("{x: {type: number}}"), {"x": 1})["x"], float)


def test_null_fits_only_where_it_is_the_default() -> None:
    assert check_inputs(declaring("{x: {type: string, default: null}}"), {"x": None}) == {"x": None}
    assert check_inputs(declaring("{x: {type: string, default: null}}"), {}) == {"x": None}
    assert misfits(declaring("{x: {type: string, default: a}}"), {"x": None})


@pytest.mark.parametrize(
    ("form", "fitting", "other"),
    [
        ("date", "2024-02-29", ["2026-02-29", "2026-1-1", "20260101", "2026-01-01T00:00:00Z", "٢٠٢٦-01-01"]),
        (
            "date-time",
            "2026-01-31T09:30:00.123456+02:00",
            ["2026-01-31", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z", "2026-01-31T25:00:00Z"],
        ),
    ],
)
def test_formats_are_dates_that_exist(form: str, fitting: str, other: list[str]) -> None:
    definition = declaring(f"{{x: {{type: string, format: {form}}}}}")
    assert check_inputs(definition, {"x": fitting}) == {"x": fitting}
    for value in other:
        assert misfits(definition, {"x": value})[0]["type"] == "format"


def test_true_is_not_one_in_a_choice() -> None:
    definition = declaring("{x: {type: any, enum: [1, a]}}")
    assert check_inputs(definition, {"x": 1}) == {"x": 1}
    assert misfits(definition, {"x": True})[0]["type"] == "enum"
