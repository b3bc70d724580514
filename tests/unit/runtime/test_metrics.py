from __future__ import annotations

import re
from pathlib import Path

from engine.runtime import metrics

ROOT = Path(__file__).parents[3]


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == metrics.reference()


def test_names_and_meanings_follow_one_form() -> None:
    for entry in metrics.CATALOG:
        assert re.fullmatch(r"playlog_[a-z_]+", entry.name)
        assert entry.meaning.endswith(".")
        assert entry.name.endswith("_total") == (entry.kind == "counter")
