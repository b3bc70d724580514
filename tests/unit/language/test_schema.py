"""The JSON Schema that editors use is the one of the models, and says the same as the validator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.language import json_schema
from engine.language.reference import reference
from engine.language.shape import shape
from engine.language.source import read
from tests.support.json_schema import JsonSchema

ROOT = Path(__file__).parents[3]
STORED = ROOT / "playbooks" / "playbook.schema.json"
EXAMPLES = sorted((ROOT / "playbooks").rglob("*.yaml"))
BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
SCHEMA = json_schema()


def told(source: Path) -> list[str]:
    root = read(source.read_bytes()).root
    assert root is not None
    return JsonSchema(SCHEMA).misfits(root.data())


def shapeless() -> list[Path]:
    documents = {path: read(path.read_bytes()) for path in BROKEN}
    return [path for path, document in documents.items() if document.root and shape(document).faults]


def test_the_stored_schema_is_generated_from_the_models() -> None:
    assert STORED.read_text() == json.dumps(json_schema(), indent=2) + "\n"


def test_the_reference_page_is_generated_from_the_models() -> None:
    assert (ROOT / "docs/reference/playbook.md").read_text() == reference()


def test_the_schema_knows_keys_as_they_are_written_and_allows_no_others() -> None:
    step = json.loads(STORED.read_text())["$defs"]["Step"]
    assert {"name", "tool", "with", "needs", "wait"} <= step["properties"].keys()
    assert step["additionalProperties"] is False


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_follows_the_schema(example: Path) -> None:
    assert told(example) == []


@pytest.mark.parametrize("source", shapeless(), ids=lambda path: path.stem)
def test_what_is_broken_by_its_shape_is_refused_by_the_schema_too(source: Path) -> None:
    assert told(source) != []


def test_enough_of_the_broken_playbooks_are_broken_by_their_shape() -> None:
    assert len(shapeless()) > 20


@pytest.mark.parametrize("name", ["http_input", "python_input", "shell_input", "child_input"])
def test_editors_are_told_what_each_built_in_tool_takes(name: str) -> None:
    assert told(BROKEN[0].with_name(f"{name}.yaml")) != []


def test_every_key_says_what_it_is_for() -> None:
    schema = json.loads(STORED.read_text())
    parts = {"Playbook": schema, **schema["$defs"]}
    keys = {f"{name}.{key}": said for name, part in parts.items() for key, said in _keys(part)}
    assert [key for key, said in keys.items() if not said.get("description")] == []
    assert len(keys) > 70


def _keys(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from part.get("properties", {}).items()
