"""Product code keeps to the norms of the project: size, no left-overs, no vague file names."""

from __future__ import annotations

import ast
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import ROOT, product_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 40
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|type: *ignore|NotImplementedError")
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", product_files(), ids=ids)
def test_a_product_file_keeps_to_the_norms(path: Path) -> None:
    text = path.read_text()
    assert [*too_long(text), *left_overs(text)] == []
    assert path.stem not in VAGUE_NAMES


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1\n" * (FILE_LINES + 1), "the file has 401 lines"),
        ("def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1), "line 1: f has 41 lines"),
        ("async def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1), "line 1: f has 41 lines"),
        ("x = 1  # " + "TODO" + " later\n", "line 1: a marker"),
        ("x = 1  # " + "type:" + " ignore[assignment]\n", "line 1: a marker"),
        ("\ndef f():\n    raise NotImplementedError\n", "line 3: a marker"),
    ],
)
def test_a_breach_of_the_norms_is_seen(text: str, complaint: str) -> None:
    assert [*too_long(text), *left_overs(text)] == [complaint]


def too_long(text: str) -> Iterator[str]:
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"the file has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = body_lines(node)
            if size > FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {size} lines"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement on; a docstring explains and does not count."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def left_overs(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if MARKERS.search(line):
            yield f"line {number}: a marker"


def test_every_module_says_what_it_is_in_its_docstring() -> None:
    silent = [ids(path) for path in product_files() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_every_product_file_is_plain_utf_8() -> None:
    for path in product_files():
        with tokenize.open(path) as file:
            assert file.encoding == "utf-8", path
