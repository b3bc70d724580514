"""Every named statement fits the schema and has exactly one place in the product that uses it."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sql import queries
from tests.support.tree import product_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

STATEMENTS = [(noun, name) for noun in queries.nouns() for name in queries.load(noun)]


@pytest.mark.parametrize(("noun", "name"), STATEMENTS)
async def test_each_statement_can_be_prepared(
    connection: asyncpg.Connection[asyncpg.Record], noun: str, name: str
) -> None:
    await connection.prepare(getattr(queries.load(noun), name))


def test_each_statement_is_used_in_exactly_one_place_and_each_use_exists() -> None:
    uses = Counter(use for path in product_files() for use in uses_in(path.read_text()))
    assert {
        "used twice": sorted(use for use, count in uses.items() if count > 1),
        "used, but not there": sorted(uses.keys() - set(STATEMENTS)),
        "there, but not used": sorted(set(STATEMENTS) - uses.keys()),
    } == {"used twice": [], "used, but not there": [], "there, but not used": []}


def test_a_use_is_found_however_the_loader_was_imported() -> None:
    text = (
        'A = queries.load("x")\nB: Queries = load("y")\nasync def f(): await c.fetch(A.claim, B.settle, a.b)'
    )
    assert list(uses_in(text)) == [("x", "claim"), ("y", "settle")]


def uses_in(text: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(text)
    nouns = dict(loaded for node in tree.body if (loaded := loaded_noun(node)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in nouns:
            yield nouns[node.value.id], node.attr


def loaded_noun(node: ast.stmt) -> tuple[str, str] | None:
    match node:
        case (
            ast.Assign(
                targets=[ast.Name(id=variable)],
                value=ast.Call(func=function, args=[ast.Constant(value=str(noun))]),
            )
            | ast.AnnAssign(
                target=ast.Name(id=variable),
                value=ast.Call(func=function, args=[ast.Constant(value=str(noun))]),
            )
        ) if isinstance(function, ast.Attribute | ast.Name):
            called = function.attr if isinstance(function, ast.Attribute) else function.id
            return (variable, noun) if called == "load" else None
    return None
