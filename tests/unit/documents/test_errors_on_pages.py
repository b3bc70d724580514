"""docs/concepts/playbooks.md has every code that an attempt, a step or an execution can fail with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.pages import tables_of
from tests.support.tree import ROOT

COMPOSED = {
    "timeout",
    "worker_lost",
    "cancelled",
    "internal_error",
    "expression_error",
    "python_error",
    "child_cancelled",
    "child_timed_out",
}
"""Codes that are no plain argument where they are made."""
MAKERS = {"error", "ToolFailed", "_Refused"}


def codes_in(source: str) -> Iterator[str]:
    places: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            places += node.args[:1]
        if isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            places += [value for key, value in zip(keys, node.values, strict=True) if key == "code"]
    for place in places:
        if isinstance(place, ast.Constant) and isinstance(place.value, str):
            yield place.value


def test_every_code_of_an_error_is_on_the_page_and_no_other() -> None:
    files = [
        path
        for package in ("engine/domain", "engine/write", "worker")
        for path in (ROOT / package).rglob("*.py")
    ]
    made = {code for path in files for code in codes_in(path.read_text())}
    (table,) = tables_of(ROOT / "docs/concepts/playbooks.md", "code", "what happened")
    told = {code for row in table.rows for code in re.findall(r"`(\w+)`", row[0])}
    assert told == made | COMPOSED
