"""docs/reference/expressions.md tells the truth: every example on it is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.language.expressions.functions import FUNCTIONS, METHODS
from engine.language.expressions.parser import MACROS
from engine.language.model import Playbook
from engine.language.scopes import RESERVED_NAMES, Place, scopes_of
from engine.language.secrets import SECRET

PAGE = (Path(__file__).parents[4] / "docs/reference/expressions.md").read_text()
_ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \| (.*?) ?\|$", re.MULTILINE)


def _rows(*, failing: bool) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for section in PAGE.split("\n\n"):
        if section.startswith("| expression | fails with" if failing else "| expression | gives"):
            found += _ROW.findall(section.replace(r"\|", "\x00"))
    return [(source.replace("\x00", "|"), result, note) for source, result, note in found]


EXAMPLES = [(source, result) for source, result, _ in _rows(failing=False)]
FAILURES = _rows(failing=True)
VALUES = {**json.loads(PAGE.split("```json\n")[1].split("```")[0]), "range": list(range(1000))}


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 50
    assert len(FAILURES) > 5


@pytest.mark.parametrize(("source", "result"), EXAMPLES)
def test_an_example_gives_what_the_page_says(
    evaluate: Callable[..., object], source: str, result: str
) -> None:
    assert repr(evaluate(source, VALUES)) == repr(json.loads(result))


@pytest.mark.parametrize(("source", "code", "message"), FAILURES)
def test_a_failure_is_the_one_the_page_tells(
    failure: Callable[..., tuple[str, str]], source: str, code: str, message: str
) -> None:
    assert failure(source, VALUES) == (code, message)


def test_every_macro_and_function_is_on_the_page() -> None:
    for name in [*MACROS, *FUNCTIONS, *METHODS, "has", "or", "orValue"]:
        assert f"{name}(" in PAGE, name


NAMES = re.findall(
    r"^\| `(\w+)`(, or what `map.as` says)? \| (.*?) \| ", PAGE.split("## Names")[1], re.MULTILINE
)
MAPPED = {"name": "each", "tool": "noop", "map": {"items": [1], "as": "item"}}
REPEATED = {"name": "poll", "tool": "noop", "repeat": {"max": 2}}
PLACES = {
    "with": Place.INPUT,
    "retry.on": Place.RETRY,
    "on_error[].when": Place.FAILURE,
    "repeat.until": Place.UNTIL,
    "map.key": Place.KEY,
}


def test_each_name_can_be_read_where_the_page_says_and_nowhere_else() -> None:
    playbook = Playbook.model_validate({"playbook": "t/names", "steps": [MAPPED, REPEATED]})
    told = {name: where for name, _, where in NAMES}
    assert told.keys() == {*RESERVED_NAMES, "item"} - {SECRET}
    for name, where in told.items():
        for word, place in PLACES.items():
            there = where == "everywhere" or f"`{word}`" in where
            scopes = [scopes_of(playbook, ["each", "poll"]).at(place, step) for step in playbook.steps]
            assert any(name in scope.names for scope in scopes) == there, (name, word)
