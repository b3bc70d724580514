"""Each of the language's eighteen rules has a test that bears its number."""

from __future__ import annotations

import re

from tests.support.tree import ROOT

RULES = range(1, 19)


def test_every_rule_has_a_test_that_is_named_after_it() -> None:
    texts = [path.read_text() for path in (ROOT / "tests" / "unit").rglob("test_*.py")]
    found = {
        int(number) for text in texts for number in re.findall(r"^def test_rule_(\d+)_", text, re.MULTILINE)
    }
    assert sorted(found) == list(RULES)
