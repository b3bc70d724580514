"""A compiled expression as the domain sees it: a source, what it reads, and a way to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


class ExpressionFailed(Exception):  # noqa: N818  # named as the fact it reports
    """An expression could not be evaluated.

    `code` is one of `missing_key`, `type_mismatch`, `overflow`, `division_by_zero`, `out_of_fuel`,
    `value_too_large`, `not_available`; `detail` names the path and the value's type, never the value.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression, compiled once per definition.

    `reads` holds the names of the steps whose output the expression can read and `inputs` whether it
    reads the inputs: known at compile time, so that just those values are loaded before it runs.
    `run` maps a scope of top-level names to a JSON value and raises `ExpressionFailed`.
    """

    source: str
    reads: frozenset[str]
    inputs: bool
    run: Callable[[Mapping[str, object]], object]


class Deferred:
    """What an expression gives that only a worker can evaluate: its source and the values it names.

    `doubles` tells which of them are declared double. No dataclass on purpose: those would be written as
    JSON by accident, without telling where.
    """

    __slots__ = ("doubles", "source", "values")

    def __init__(self, source: str, values: Mapping[str, object], doubles: object = None) -> None:
        self.source = source
        self.values = values
        self.doubles = doubles

    def written(self) -> dict[str, object]:
        """What stands in a command in its place; the values may hold handles."""
        plain: dict[str, object] = {"source": self.source, "values": self.values}
        return plain if self.doubles is None else {**plain, "doubles": self.doubles}
