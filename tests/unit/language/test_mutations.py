"""Law: one wrong key or value in a valid playbook is told with its place, or is none; nothing breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Invalid
from engine.language import json_schema, parse
from engine.language.model import Compensate, Map, Step, Wait
from engine.language.source import read
from tests.support.json_schema import JsonSchema

WHOLE = Path(__file__).with_name("whole.yaml")
EXAMPLES = sorted((Path(__file__).parents[3] / "playbooks").rglob("*.yaml"))
SOURCES = [path.read_text() for path in (WHOLE, *EXAMPLES)]
SCHEMA = JsonSchema(json_schema())
WORDS = st.sampled_from(
    [
        *(
            info.alias or name
            for model in (Step, Map, Wait, Compensate)
            for name, info in model.model_fields.items()
        ),
        "fetch",
        "skip",
        "end",
        "${ steps.fetch.output }",
        "${",
        "inputs.day",
        "",
        "1s",
        "0s",
        "9" * 30,
    ]
)
VALUES = st.one_of(
    WORDS,
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(WORDS, max_size=3),
    st.dictionaries(WORDS, st.integers(), max_size=2),
)


class Pairs(list[tuple[str, Any]]):
    """A mapping as it is written, so that a key can stand there twice."""


def pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs((key, pairs(part)) for key, part in value.items())
    return [pairs(part) for part in value] if isinstance(value, list) else value


def tree_of(source: str) -> Any:
    root = read(source.encode()).root
    assert root is not None
    return pairs(root.data())


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(part)}" for key, part in value) + "}"
    if isinstance(value, list):
        return "[" + ",\n ".join(map(written, value)) + "]"
    return json.dumps(value)


def places(value: Any) -> list[tuple[Any, int]]:
    """Every entry of every mapping and list."""
    found: list[tuple[Any, int]] = []
    for index, part in enumerate(value if isinstance(value, list) else ()):
        found.append((value, index))
        found += places(part[1] if isinstance(value, Pairs) else part)
    return found


def mutate(tree: Any, draw: Any) -> None:
    held, index = draw(st.sampled_from(places(tree)))
    entry = held[index]
    match draw(st.sampled_from(["delete", "duplicate", "rename", "retype"])):
        case "delete":
            del held[index]
        case "duplicate":
            held.insert(draw(st.integers(0, len(held))), entry)
        case "rename" if isinstance(held, Pairs):
            held[index] = (draw(WORDS), entry[1])
        case _:
            value = pairs(draw(VALUES))
            held[index] = (entry[0], value) if isinstance(held, Pairs) else value


def is_valid_or_told(source: str) -> bool:
    try:
        parse(source.encode(), "a.yaml")
    except Invalid as refused:
        faults, lines = refused.data["faults"], source.split("\n")
        assert faults
        for fault in faults:
            assert 1 <= fault["line"] <= len(lines) + 1
            assert 1 <= fault["column"] <= len([*lines, ""][fault["line"] - 1]) + 1
            assert fault["message"]
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_mutation_of_a_valid_playbook_is_told_with_its_place_or_leaves_it_valid(
    data: st.DataObject,
) -> None:
    tree = tree_of(data.draw(st.sampled_from(SOURCES)))
    mutate(tree, data.draw)
    source = written(tree)
    if is_valid_or_told(source):
        root = read(source.encode()).root
        assert root is not None
        assert SCHEMA.misfits(root.data()) == [], "editors are told less than is allowed"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_slip_of_the_pen_is_told_with_its_place_or_leaves_it_valid(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(SOURCES))
    start = data.draw(st.integers(0, len(source)))
    length = data.draw(st.integers(0, 3))
    slip = data.draw(st.text("{}[]:,'\"$&*!|> \n\t-#ab01é\u2028\0", max_size=3))
    is_valid_or_told(source[:start] + slip + source[start + length :])


def test_the_playbook_that_is_mutated_has_every_key_of_a_step() -> None:
    assert all(parse(written(tree_of(source)).encode()) for source in SOURCES)
    steps = yaml.load(WHOLE.read_text(), yaml.BaseLoader)["steps"]
    known = {info.alias or name for name, info in Step.model_fields.items()}
    assert {key for step in steps for key in step} == known
