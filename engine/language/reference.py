"""The reference page of the playbook language, written from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from engine.language import durations
from engine.language.schema import Schema, json_schema

_ROOT = "playbook"
_INTRODUCTION = """\
# Playbooks

<!-- Written by `python -m engine.language.reference`; a test compares. -->

Every key that a playbook may have. A source is YAML 1.2 or JSON, read strictly: unknown and duplicate keys,
tags and merge keys are faults, and `on`, `no`, `0777` and `12:30` are text. It has at most 1 MiB, 50,000
values, 64 levels, 100 aliases, 1,000 steps and 4,000 expressions.

An *expression* is [CEL](expressions.md) by itself. Where the type is *value*, each text in it that is wholly
`${ ... }` is an expression and keeps its JSON type. A *duration* is written `500ms`, `30s`, `5m`, `1h30m` or
`2d`. What `with` holds depends on the [tool](tools.md).

`playlog validate FILE` tells every fault at its place before anything runs. Editors with a YAML language
server complete and check keys by the JSON Schema of the language: `playlog schema playbook >
playbook.schema.json` puts it beside your playbooks, and each begins with `# yaml-language-server:
$schema=playbook.schema.json`. Nothing is fetched for it.
"""


def reference() -> str:
    """Render docs/reference/playbook.md: a table of keys for each mapping of the language."""
    schema = json_schema()
    mappings = [(_ROOT, "", schema), *_mappings(schema)]
    headings = {name: heading for heading, name, _ in mappings}
    lines = [_INTRODUCTION]
    for heading, _, part in mappings:
        lines += [f"## {heading}", "", f"{part['description']}", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = part.get("required")
        for key, value in _properties(part).items():
            must = isinstance(required, list) and key in required
            lines.append(_row(key, value, headings, required=must))
        lines.append("")
    return "\n".join(lines)


def _mappings(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Each mapping of the language: the key that first leads to it, its name in the schema, and itself."""
    parts = schema["$defs"]
    waiting, seen = [schema], set[str]()
    while waiting:
        for key, value in _properties(waiting.pop(0)).items():
            for name in _references(value):
                found = parts[name] if isinstance(parts, dict) else None
                if name not in seen and isinstance(found, dict) and _properties(found):
                    seen.add(name)
                    waiting.append(found)
                    yield key, name, found


def _properties(part: Schema) -> Mapping[str, Schema]:
    properties = part.get("properties")
    known = properties if isinstance(properties, dict) else {}
    return {key: value for key, value in known.items() if isinstance(value, dict)}


def _references(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        refers = value.get("$ref")
        if isinstance(refers, str):
            yield refers.rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _row(key: str, value: Schema, headings: Mapping[str, str], *, required: bool) -> str:
    default = "required" if required else ""
    if "default" in value:
        given = value["default"]
        default = f"`{given:g}`" if isinstance(given, float) else f"`{given}`"
    return f"| `{key}` | {_type(value, headings)} | {default} | {value.get('description', '')} |"


def _type(value: Schema, headings: Mapping[str, str]) -> str:
    refers, choices = value.get("$ref"), value.get("enum")
    if isinstance(refers, str):
        heading = headings.get(refers.rpartition("/")[2])
        return "value" if heading is None else f"[mapping](#{heading})"
    if isinstance(choices, list):
        return " \\| ".join(f"`{choice}`" for choice in choices)
    members = value.get("anyOf") or value.get("oneOf")
    if isinstance(members, list):
        return " or ".join(_type(each, headings) for each in members if isinstance(each, dict))
    return _plain_type(value, headings)


def _plain_type(value: Schema, headings: Mapping[str, str]) -> str:
    match value:
        case {"type": "array", "items": dict(items)}:
            return f"list of {_plural(_type(items, headings))}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"mapping of names to {_plural(_type(values, headings))}"
        case {"type": "integer" | "number" as kind}:
            return f"{kind}{_range(value)}"
        case _:
            return _text(value)


def _text(value: Schema) -> str:
    if value.get("format") == "cel":
        return "expression"
    return "duration" if value.get("pattern") == durations.PATTERN else "text"


def _plural(kind: str) -> str:
    if kind.startswith("["):
        return kind.replace("mapping", "mappings", 1)
    return "values" if kind == "value" else kind


def _range(value: Schema) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    return "" if low is None and high is None else f", {low:,} to {high:,}"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201  # the page is this program's output
