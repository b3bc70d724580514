"""JSON Schema as far as this project uses it; an unknown keyword fails, lest it be passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

IGNORED = {"$schema", "$defs", "title", "description", "default", "examples", "format", "then"}
KINDS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
PLAIN: Mapping[str, tuple[str | None, Callable[[Any, Any], bool]]] = {
    "type": (None, lambda value, kind: KINDS[kind](value)),
    "enum": (None, lambda value, choices: value in choices),
    "const": (None, lambda value, only: value == only),
    "pattern": ("string", lambda value, pattern: re.search(pattern, value) is not None),
    "minLength": ("string", lambda value, least: len(value) >= least),
    "maxLength": ("string", lambda value, most: len(value) <= most),
    "minimum": ("number", lambda value, least: value >= least),
    "maximum": ("number", lambda value, most: value <= most),
    "minItems": ("array", lambda value, least: len(value) >= least),
    "maxItems": ("array", lambda value, most: len(value) <= most),
    "maxProperties": ("object", lambda value, most: len(value) <= most),
    "required": ("object", lambda value, keys: set(keys) <= value.keys()),
}
"""Keywords that look at the value alone, with the one kind of values that they look at."""


class JsonSchema:
    """A schema with its definitions."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._rules: Mapping[str, Callable[[Any, Any, Mapping[str, Any]], Iterator[str]]] = {
            "$ref": self._reference,
            "anyOf": self._any,
            "oneOf": self._one,
            "allOf": self._all,
            "if": self._if,
            "items": self._items,
            "properties": self._properties,
            "additionalProperties": self._others,
            "propertyNames": self._names,
        }

    def misfits(self, value: Any) -> list[str]:
        """Where in the value which keywords are not followed."""
        return list(self._misfits(value, self._schema))

    def _misfits(self, value: Any, schema: Any) -> Iterator[str]:
        if isinstance(schema, bool):
            yield from () if schema else ["nothing may stand here"]
            return
        for keyword in schema.keys() - IGNORED:
            if keyword in PLAIN:
                kind, holds = PLAIN[keyword]
                if (kind is None or KINDS[kind](value)) and not holds(value, schema[keyword]):
                    yield keyword
            else:
                yield from self._rules[keyword](value, schema[keyword], schema)

    def _fits(self, value: Any, schema: Any) -> bool:
        return not any(self._misfits(value, schema))

    def _reference(self, value: Any, name: str, _: Mapping[str, Any]) -> Iterator[str]:
        yield from self._misfits(value, self._schema["$defs"][name.removeprefix("#/$defs/")])

    def _any(self, value: Any, members: list[Any], _: Mapping[str, Any]) -> Iterator[str]:
        yield from () if any(self._fits(value, each) for each in members) else ["anyOf"]

    def _one(self, value: Any, members: list[Any], _: Mapping[str, Any]) -> Iterator[str]:
        yield from () if sum(self._fits(value, each) for each in members) == 1 else ["oneOf"]

    def _all(self, value: Any, members: list[Any], _: Mapping[str, Any]) -> Iterator[str]:
        for each in members:
            yield from self._misfits(value, each)

    def _if(self, value: Any, condition: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        yield from self._misfits(value, schema["then"]) if self._fits(value, condition) else ()

    def _items(self, value: Any, wanted: Any, _: Mapping[str, Any]) -> Iterator[str]:
        for index, each in enumerate(value if isinstance(value, list) else ()):
            yield from (f"[{index}] {misfit}" for misfit in self._misfits(each, wanted))

    def _properties(self, value: Any, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
        for key, part in _entries(value):
            yield from (f"{key} {misfit}" for misfit in self._misfits(part, wanted.get(key, True)))

    def _others(self, value: Any, wanted: Any, schema: Mapping[str, Any]) -> Iterator[str]:
        for key, part in _entries(value):
            if key not in schema.get("properties", {}):
                yield from (f"{key} {misfit}" for misfit in self._misfits(part, wanted))

    def _names(self, value: Any, wanted: Any, _: Mapping[str, Any]) -> Iterator[str]:
        for key, _part in _entries(value):
            yield from (f"{key} {misfit}" for misfit in self._misfits(key, wanted))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else ()
