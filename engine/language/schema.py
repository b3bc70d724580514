"""The JSON Schema of playbooks for editors, generated from the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import JsonValue, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from engine.language.model import Playbook
from engine.language.tools import BUILTIN_TOOLS, ToolInput

Schema: TypeAlias = dict[str, JsonValue]

_EXPRESSION: Schema = {
    "description": "An expression: CEL, wholly inside `${ }`.",
    "type": "string",
    "pattern": r"^\s*\$\{[\s\S]*\}\s*$",
}
_ONE_OF: Mapping[str, list[JsonValue]] = {
    "Step": [{"required": ["tool"]}, {"required": ["wait"]}],
    "Wait": [{"required": ["event"]}, {"required": ["until"]}, {"required": ["for"]}],
    "Branch": [
        {"required": ["when", "step"], "properties": {"default": False}},
        {"required": ["default"], "properties": {"when": False, "step": False}},
    ],
}
"""The checks say what goes together; editors learn it here."""
_ANNOTATIONS = frozenset({"description", "default", "examples"})
_SCHEMA = TypeAdapter(Schema)


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # keys are their own titles
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


class _OfPlaybooks(_Generator):
    """Keys that may be absent are optional, not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) that every playbook keeps."""
    schema = Playbook.model_json_schema(by_alias=True, schema_generator=_OfPlaybooks)
    parts: dict[str, Schema] = schema.pop("$defs")
    for name, choices in _ONE_OF.items():
        parts[name]["oneOf"] = choices
    for name in ("Step", "Compensate"):
        _know_tools(parts[name])
    taken = {tool.takes for tool in BUILTIN_TOOLS.values() if tool.takes is not None}
    inputs = {model.__name__: _input(model) for model in taken}
    return _SCHEMA.validate_python(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "playlog playbook",
            **schema,
            "$defs": {**parts, "Expression": _EXPRESSION, **dict(sorted(inputs.items()))},
        }
    )


def _know_tools(call: Schema) -> None:
    """Offer the built-in tools, and tell what each of them takes."""
    properties = call["properties"]
    if isinstance(properties, dict) and isinstance(tool := properties["tool"], dict):
        known: list[JsonValue] = [*sorted(BUILTIN_TOOLS)]
        names = {key: tool.pop(key) for key in ("type", "pattern")}
        tool["anyOf"] = [{"enum": known}, names]
    call["allOf"] = [
        {
            "if": {"required": ["tool"], "properties": {"tool": {"const": name}}},
            "then": {
                "properties": {"with": {"$ref": f"#/$defs/{tool.takes.__name__}"}},
                "required": ["with"],
            },
        }
        for name, tool in sorted(BUILTIN_TOOLS.items())
        if tool.takes is not None
    ]


def _input(model: type[ToolInput]) -> Schema:
    """What a tool takes as it may be written: with expressions wherever not every text is right."""
    schema: Schema = model.model_json_schema(schema_generator=_Generator)
    schema.pop("$defs", None)
    return _with_expressions(schema)


def _with_expressions(schema: Schema) -> Schema:
    opened: Schema = dict(schema)
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            opened[key] = {name: _or_expression(part) for name, part in value.items()}
        elif key in {"items", "additionalProperties"}:
            opened[key] = _or_expression(value)
        elif key == "anyOf" and isinstance(value, list):
            opened[key] = [_with_expressions(part) if isinstance(part, dict) else part for part in value]
    return opened


def _or_expression(schema: JsonValue) -> JsonValue:
    if not isinstance(schema, dict) or _takes_any_text(schema):
        return schema
    words: Schema = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
    bare: Schema = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    members = bare.get("anyOf") if bare.keys() == {"anyOf"} else [bare]
    if not isinstance(members, list):
        return schema
    opened: list[JsonValue] = [_with_expressions(each) for each in members if isinstance(each, dict)]
    return {**words, "anyOf": [*opened, {"$ref": "#/$defs/Expression"}]}


def _takes_any_text(schema: Schema) -> bool:
    members = schema.get("anyOf")
    if isinstance(members, list):
        return any(isinstance(each, dict) and _takes_any_text(each) for each in members)
    is_text = schema.get("type", "string") == "string"
    return "$ref" in schema or (is_text and not schema.keys() & {"pattern", "enum"})
