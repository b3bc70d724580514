"""Operators find every kind of incident explained."""

from __future__ import annotations

import ast

from engine.domain.incidents import CATALOG, IncidentKind, reference
from tests.support.tree import ROOT, product_files


def test_every_kind_is_explained_and_the_page_says_the_same() -> None:
    assert CATALOG.keys() == set(IncidentKind)
    assert (ROOT / "docs/howto/incidents.md").read_text() == reference()


def test_an_incident_that_deciding_opens_is_of_a_known_kind() -> None:
    kinds = [kind for path in product_files() for kind in opened_in(path.read_text())]
    assert kinds
    assert set(kinds) <= set(IncidentKind)


def opened_in(text: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    opening = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "OpenIncident"]
    words = [word for call in opening for word in call.keywords if word.arg == "kind"]
    return [str(word.value.value) for word in words if isinstance(word.value, ast.Constant)]
