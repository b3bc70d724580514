"""Ways to run a source against values, the names being declared as `dyn` unless a scope says more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, compile_expression
from engine.language.expressions.types import DYN

Evaluate = Callable[..., object]


def _evaluate(source: str, values: Mapping[str, object] | None = None, scope: Scope | None = None) -> object:
    values = values or {}
    scope = scope or Scope(names=dict.fromkeys(values, DYN))
    return compile_expression(source, scope).run(values)


@pytest.fixture(scope="session")
def evaluate() -> Evaluate:
    """Compile and run: `evaluate(source, values, scope)`."""
    return _evaluate


@pytest.fixture(scope="session")
def failure() -> Callable[..., tuple[str, str]]:
    """Compile and run an expression that fails: its `(code, detail)`."""

    def failed(
        source: str,
        values: Mapping[str, object] | None = None,
        scope: Scope | None = None,
    ) -> tuple[str, str]:
        with pytest.raises(ExpressionFailed) as caught:
            _evaluate(source, values, scope)
        return caught.value.code, caught.value.detail

    return failed


@pytest.fixture(scope="session")
def faults() -> Callable[..., list[str]]:
    """Compile a source that is refused: its faults as `line:column: message, hint`."""

    def refused(source: str, scope: Scope | None = None) -> list[str]:
        with pytest.raises(ExpressionFault) as caught:
            compile_expression(source, scope or Scope())
        return [str(fault) for fault in caught.value.faults]

    return refused
