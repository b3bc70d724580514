"""JSON values whose texts may be expressions: an expression is written wholly as `${ ... }`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import JsonValue

from engine.domain.definition import Template
from engine.domain.expression import Expression
from engine.language.faults import Path

_OPEN = "${"
_QUOTES = frozenset({"'", '"'})


def expression_in(text: str) -> tuple[str, int] | None:
    """Return the expression that `text` wholly is and its offset in `text`; None for plain text.

    Raises `ValueError` when `${` stands inside other text.
    """
    if _OPEN not in text:
        return None
    begin = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if not text.startswith(_OPEN, begin):
        raise ValueError("`${ ... }` cannot stand inside other text")
    closing = _closing(text, begin + len(_OPEN))
    if closing is None:
        raise ValueError("`${` has no closing `}`")
    if closing != end - 1:
        raise ValueError("`${ ... }` cannot stand inside other text")
    return text[begin + len(_OPEN) : closing], begin + len(_OPEN)


def _closing(text: str, start: int) -> int | None:
    """Find the `}` that ends an expression, passing over braces in pairs and in quoted text."""
    depth, place = 0, start
    while place < len(text):
        character = text[place]
        if character in _QUOTES:
            place = _after_quotes(text, place)
            continue
        if character == "}" and depth == 0:
            return place
        depth += {"{": 1, "}": -1}.get(character, 0)
        place += 1
    return None


def _after_quotes(text: str, start: int) -> int:
    quote = text[start] * 3 if text.startswith(text[start] * 3, start) else text[start]
    raw = text[start - 1 : start] in {"r", "R"}
    place = start + len(quote)
    while place < len(text) and not text.startswith(quote, place):
        place += 2 if text[place] == "\\" and not raw else 1
    return place + len(quote)


def texts(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    """Walk every text in a value with its path; keys are no values."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))


def compile_template(value: JsonValue, compiled: Callable[[str], Expression]) -> Template:
    """Put a compiled expression at the place of every `${ ... }`; raises `ValueError` as `expression_in`."""
    found: list[Expression] = []

    def placed(part: JsonValue) -> object:
        if isinstance(part, dict):
            return {key: placed(item) for key, item in part.items()}
        if isinstance(part, list):
            return [placed(item) for item in part]
        inner = expression_in(part) if isinstance(part, str) else None
        if inner is None:
            return part
        found.append(compiled(inner[0]))
        return found[-1]

    tree = placed(value)
    return Template(
        value=tree,
        reads=frozenset().union(*(expression.reads for expression in found)),
        inputs=any(expression.inputs for expression in found),
        constant=not found,
    )
