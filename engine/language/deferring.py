"""Expressions with secrets: compiled by the engine to what goes to a worker, and there to what runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import orjson

from engine.domain.deferred import deferred, merged
from engine.domain.expression import Expression
from engine.language.expressions import Analysis, Scope, analyse_expression, compile_expression
from engine.language.expressions.doubles import doubles_in, type_with
from engine.language.expressions.naming import named_paths
from engine.language.expressions.parser import parse
from engine.language.expressions.types import DYN
from engine.language.scopes import RESERVED_NAMES
from engine.language.secrets import SECRET, SECRET_TYPE

_KEPT = 1024


def compile_leaf(source: str, scope: Scope) -> Expression:
    """Compile an expression of a template; one that names a secret gives a `Deferred` when it is run."""
    if SECRET in source and SECRET in (analysis := analyse_expression(source, scope)).calls:
        return _deferring(source, scope, analysis)
    return compile_expression(source, scope)


def _deferring(source: str, scope: Scope, analysis: Analysis) -> Expression:
    named = merged(path for path in named_paths(parse(source)) if path[0] in analysis.names)
    doubles = doubles_in(scope.names, named)

    def run(values: Mapping[str, object]) -> object:
        return deferred(source, named, doubles, values)

    return Expression(source=source, reads=analysis.reads, inputs="inputs" in analysis.names, run=run)


def compile_deferred(source: str, names: frozenset[str], doubles: object) -> Expression:
    """Compile what a `Deferred` holds, whose values have these names; the latest 1,024 are kept.

    Its scope has the values and, as `secret`, what resolves a name. Raises `ExpressionFault` for a source
    that the engine would not have taken.
    """
    known = (names | RESERVED_NAMES) - {SECRET}
    return _compile(source, known, orjson.dumps(doubles, option=orjson.OPT_SORT_KEYS))


@lru_cache(_KEPT)
def _compile(source: str, names: frozenset[str], doubles: bytes) -> Expression:
    declared = orjson.loads(doubles) or {}
    types = {name: type_with(declared.get(name)) if name in declared else DYN for name in names}
    return compile_expression(source, Scope(names=types, functions={SECRET: SECRET_TYPE}))
