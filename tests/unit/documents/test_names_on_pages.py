"""docs/concepts/playbooks.md tells which names an expression sees where it stands."""

from __future__ import annotations

import re

import pytest

from engine.language.model import Playbook
from engine.language.scopes import Place, scopes_of
from tests.support.pages import tables_of
from tests.support.tree import ROOT

PLACES = {
    Place.INPUT: "with",
    Place.CHILD_INPUT: "with",
    Place.RETRY: "retry.on",
    Place.FAILURE: "on_error",
    Place.KEY: "key",
    Place.ITEMS: "map.items",
    Place.QUEUED: "concurrency.key",
    Place.UNTIL: "until",
    Place.GUARD: "when",
    Place.MOMENT: "wait.until",
    Place.OUTPUT: "output",
}
PLAYBOOK = Playbook.model_validate(
    {
        "playbook": "shown/names",
        "steps": [
            {"name": "x", "tool": "noop", "map": {"items": [], "as": "thing"}},
            {"name": "y", "tool": "noop", "repeat": {"max": 1}},
        ],
    }
)


def names_told(place: Place) -> set[str]:
    """The names that the page has for a place, in a step with a map and in one with a repeat together."""
    (table,) = tables_of(ROOT / "docs/concepts/playbooks.md", "name", "what it is", "where")
    told: set[str] = set()
    for words, _, where in table.rows:
        names = re.findall(r"`(\w+)", words.replace("the name after `as`", "`thing`"))
        if where.startswith("everywhere") or PLACES[place] in re.findall(r"`([\w.]+)`", where):
            told.update(names)
    return told


@pytest.mark.parametrize("place", Place)
def test_the_names_on_the_page_are_those_that_an_expression_sees_there(place: Place) -> None:
    scopes = scopes_of(PLAYBOOK, ["x", "y"])
    with_map, with_repeat = (set(scopes.at(place, step).names) for step in PLAYBOOK.steps)
    assert names_told(place) == with_map | with_repeat
