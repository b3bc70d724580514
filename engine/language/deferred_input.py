"""The input of a command as its worker has it: expressions that name secrets replaced by their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.domain.deferred import remote
from engine.domain.handles import Handle, Place, parse_map_uri, reference_at, replaced
from engine.language.deferring import compile_deferred
from engine.language.secrets import SECRET


class Asked(NamedTuple):
    """An input as it was issued, the places of its references to payloads and those of its expressions."""

    input: object
    handles: Sequence[Place]
    deferred: Sequence[Place]


def evaluated_at(asked: Asked, value: object, place: Place, secret: Callable[[str], str]) -> object:
    """The result of the expression at one place; `value` is the input with its payloads already.

    Payloads inside are as for the engine: what is passed on may be large, what is worked on may not. Raises
    `ExpressionFailed`, `ExpressionFault` for what is no expression of this build, and what `secret` raises.
    """
    contents: dict[str, object] = {}
    held: Any = _at(_with_handles(asked, value, place, contents), place)
    expression = compile_deferred(held["source"], frozenset(held["values"]), held.get("doubles"))
    return _delivered(expression.run({**remote(held["values"]), SECRET: secret}), contents)


def _with_handles(asked: Asked, value: object, place: Place, contents: dict[str, object]) -> object:
    """The value with its payloads below a place as handles, which know their size; `contents` by address."""
    for found in asked.handles:
        if list(found[: len(place)]) == list(place):
            reference = reference_at(asked.input, found)
            contents[reference["uri"]] = _at(value, found)
            named = ".".join(map(str, found[len(place) + 1 :]))
            handle = Handle(reference, named, lambda uri, _: _content(contents, uri))
            value = replaced(value, [(found, handle)])
    return value


def _content(contents: Mapping[str, Any], uri: str) -> object:
    """What lies at an address: a payload, the list that a map gave, or one element of such a list."""
    key = parse_map_uri(uri)
    if key is None or key.item is None:
        return contents[uri]
    return contents[key._replace(item=None).uri][key.item]


def _at(value: Any, place: Place) -> object:  # noqa: ANN401  # any JSON
    for key in place:
        value = value[key]
    found: object = value
    return found


def _delivered(result: object, contents: Mapping[str, object]) -> object:
    """The result with its payloads as they are, however large: they are only passed on."""
    if isinstance(result, Handle):
        return contents[result.reference["uri"]]
    if isinstance(result, dict):
        return {key: _delivered(part, contents) for key, part in result.items()}
    if isinstance(result, list):
        return [_delivered(part, contents) for part in result]
    return result
