"""Each playbook in `broken/` is refused with exactly the faults listed beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import Invalid
from engine.language import parse

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))


@pytest.mark.parametrize("source", BROKEN, ids=lambda path: path.stem)
def test_a_broken_playbook_is_refused_with_every_fault_where_it_stands(source: Path) -> None:
    with pytest.raises(Invalid) as refused:
        parse(source.read_bytes(), source.name)
    found = [fault["text"].removeprefix(f"{source.name}:") for fault in refused.value.data["faults"]]
    assert found == source.with_suffix(".faults").read_text().splitlines()
    assert refused.value.code == "invalid_playbook"


def test_a_fault_is_data_and_text() -> None:
    with pytest.raises(Invalid) as refused:
        parse(b"playbook: a\nsteps:\n  - {name: one, tool: nop}\n", "shop.yaml")
    assert refused.value.data["faults"] == [
        {
            "line": 3,
            "column": 23,
            "path": "steps[0].tool",
            "message": 'unknown tool "nop"',
            "hint": 'did you mean "noop"?',
            "text": 'shop.yaml:3:23: steps[0].tool: unknown tool "nop", did you mean "noop"?',
        }
    ]
    assert "the playbook has 1 fault: shop.yaml:3:23" in refused.value.detail


def test_at_most_100_faults_are_listed() -> None:
    steps = "".join(f"  - {{name: step_{number}, tool: unknown}}\n" for number in range(150))
    with pytest.raises(Invalid, match="100 faults or more") as refused:
        parse(f"playbook: a\nsteps:\n{steps}".encode())
    assert [fault["line"] for fault in refused.value.data["faults"]] == list(range(3, 103))
