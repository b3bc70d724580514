"""Every playbook on a page, and every piece of one, is valid or part of an example."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from engine.language import parse
from tests.support.pages import PAGES, blocks_of
from tests.support.tree import ROOT

EXAMPLES = [path.read_text() for path in sorted((ROOT / "playbooks/examples").glob("*.yaml"))]
PIECES = [(path, block.text) for path in PAGES for block in blocks_of(path, "yaml")]


def is_part_of_an_example(piece: str) -> bool:
    wanted = dedent(piece).splitlines()
    for example in EXAMPLES:
        lines = example.splitlines()
        for start in range(len(lines) - len(wanted) + 1):
            if dedent("\n".join(lines[start : start + len(wanted)])).splitlines() == wanted:
                return True
    return False


def whole(piece: str) -> str:
    """A playbook around steps that stand alone, with the inputs that they name."""
    if not piece.startswith("- name:"):
        return piece
    inputs = "".join(
        f"  {name}: {{type: any}}\n" for name in sorted(set(re.findall(r"inputs\.(\w+)", piece)))
    )
    return f"playbook: shown/steps\ninputs:\n{inputs or '  {}'}\nsteps:\n{piece}"


def test_there_are_playbooks_on_the_pages() -> None:
    assert len(PIECES) > 10
    assert not is_part_of_an_example("- name: nowhere\n")


@pytest.mark.parametrize(("path", "text"), PIECES, ids=lambda each: getattr(each, "stem", ""))
def test_a_playbook_on_a_page_is_valid_or_part_of_an_example(path: Path, text: str) -> None:
    if not is_part_of_an_example(text):
        parse(whole(text).encode(), path.name)
