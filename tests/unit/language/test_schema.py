"""The JSON Schema that editors use is the one of the models."""

from __future__ import annotations

import json
from pathlib import Path

from engine.language import json_schema

STORED = Path(__file__).parents[3] / "playbooks" / "playbook.schema.json"


def test_the_stored_schema_is_generated_from_the_models() -> None:
    assert STORED.read_text() == json.dumps(json_schema(), indent=2) + "\n"


def test_the_schema_knows_keys_as_they_are_written_and_allows_no_others() -> None:
    step = json.loads(STORED.read_text())["$defs"]["Step"]
    assert {"name", "tool", "with", "needs", "wait"} <= step["properties"].keys()
    assert step["additionalProperties"] is False
    assert '"type": "null"' not in STORED.read_text()
