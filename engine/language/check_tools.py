"""The input of tools: keys they do not have, keys they need, constants and expressions that never fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from pydantic import JsonValue, ValidationError

from engine.language.expressions.types import Type, worded
from engine.language.faults import MAX_FAULTS, Path, one_of
from engine.language.report import Report
from engine.language.templates import expression_in
from engine.language.tools import Tool, ToolInput
from engine.language.wording import located
from engine.language.wording import worded as faults_worded

_OF_KEYS = frozenset({"missing", "extra_forbidden"})
_ANYTHING: frozenset[str] = frozenset()
_KINDS: Mapping[str, str] = {
    "null": "null",
    "bool": "boolean",
    "int": "integer",
    "double": "number",
    "string": "string",
    "timestamp": "string",
    "duration": "string",
    "list": "array",
    "map": "object",
}
_IN_CEL: Mapping[str, str] = {
    "null": "null",
    "boolean": "bool",
    "integer": "int",
    "number": "double",
    "string": "string",
    "array": "list",
    "object": "map",
}


_INSTEAD: Mapping[str, str] = {"code": "args", "query": "params", "command": "env"}
"""What is run as a program, and where values go instead: they reach it beside it, never inside it."""


def check_call(report: Report, path: Path, tool: Tool | None, given: Mapping[str, JsonValue] | None) -> None:
    """Report what a tool would refuse of the `with` at `path`, whatever its expressions give."""
    _check_programs(report, path, tool, given or {})
    if tool is None or tool.takes is None or not report.whole(path):
        return
    data = dict(given or {})
    try:
        tool.takes.model_validate(data)
    except ValidationError as error:
        findings = [
            ((*path, *place), detail)
            for place, detail in located(data, error)
            if detail["type"] in _OF_KEYS or not _depends(data, place)
        ]
        keys = list(tool.takes.model_fields)
        report.faults += faults_worded(report.document, findings[:MAX_FAULTS], lambda _: keys)


def _check_programs(report: Report, path: Path, tool: Tool | None, given: Mapping[str, JsonValue]) -> None:
    for key, instead in _INSTEAD.items():
        text = given.get(key)
        known = None if tool is None else tool.takes
        is_program = known is None or "string" in _expected(known, (key,))
        if is_program and isinstance(text, str) and text.lstrip().startswith("${"):
            hint = f"pass values through `{instead}`"
            report.add((*path, key), f"`{key}` is fixed text, not an expression", hint)


def misfit(tool: Tool, place: Path, given: Type) -> str | None:
    """Say what a tool expects at a place of its `with`, where a value of this type never is that."""
    expected = _ANYTHING if tool.takes is None else _expected(tool.takes, place)
    kind = _KINDS.get(given.kind)
    if not expected or kind is None or kind in expected or (kind == "integer" and "number" in expected):
        return None
    wanted = one_of(worded(_IN_CEL[one]) for one in sorted(expected))
    return f"{wanted} is expected here, and this is {worded(given.kind)}"


def _depends(value: JsonValue, place: Path) -> bool:
    """Whether what stands at a place is only known when the step runs."""
    if isinstance(value, str):
        return _is_expression(value)
    if not place:
        return False
    part, rest = place[0], place[1:]
    if isinstance(value, dict) and part in value:
        return _depends(value[str(part)], rest)
    if isinstance(value, list) and isinstance(part, int):
        return _depends(value[part], rest)
    return False


def _is_expression(text: str) -> bool:
    try:
        return expression_in(text) is not None
    except ValueError:
        return True


@lru_cache(maxsize=256)
def _expected(model: type[ToolInput], place: Path) -> frozenset[str]:
    """The JSON types that fit a place of a tool's input; none where every type does."""
    schema: dict[str, JsonValue] = model.model_json_schema()
    found: list[JsonValue] = [schema]
    for part in place:
        found = [inner for each in _members(found, schema) for inner in _inside(each, part)]
    kinds = [each.get("type") for each in _members(found, schema)]
    return frozenset(str(kind) for kind in kinds) if all(kinds) else _ANYTHING


def _members(found: Iterable[JsonValue], whole: Mapping[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    """Each schema that a value may follow, through `anyOf` and `$ref`."""
    for each in found:
        if not isinstance(each, dict):
            continue
        members, refers = each.get("anyOf"), each.get("$ref")
        if isinstance(members, list):
            yield from _members(members, whole)
        elif isinstance(refers, str):
            named, definitions = refers.rpartition("/")[2], whole.get("$defs")
            yield from _members([definitions[named]] if isinstance(definitions, dict) else [], whole)
        else:
            yield each


def _inside(schema: Mapping[str, JsonValue], part: str | int) -> Iterator[JsonValue]:
    """The schemas of what stands at one key or index."""
    if isinstance(part, int):
        yield schema.get("items")
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        yield properties.get(part)
    else:
        yield schema.get("additionalProperties")
