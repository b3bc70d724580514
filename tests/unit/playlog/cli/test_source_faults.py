from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from engine.errors import Invalid
from engine.language import parse
from playlog.cli.source_faults import crop, render_faults, span

BROKEN = Path(__file__).parents[2] / "language" / "broken"


def shown(source: bytes, *, width: int = 80) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse(source, "a.yaml")
    console = Console(file=io.StringIO(), width=width)
    console.print(render_faults("a.yaml", source, caught.value.data["faults"], console))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_fault_is_shown_with_its_line_and_a_caret_below_it() -> None:
    source = b"playbook: a\nsteps:\n  - name: one\n    tools: noop\n    tool: noop\n"
    assert shown(source) == [
        "a.yaml:4:5  steps[0].tools",
        '  unknown key "tools"',
        " 4 |     tools: noop",
        '   |     ^^^^^ did you mean "tool"?',
        "",
        "a.yaml: 1 fault",
    ]


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_fault_of_every_broken_playbook_can_be_shown_in_80_columns(file: Path) -> None:
    lines = shown(file.read_bytes())
    carets = [line for line in lines if re.match(r" +\| +\^", line)]
    wanted = file.with_suffix(".faults").read_text().splitlines()
    assert len(carets) == len(wanted)
    assert max(map(len, lines)) <= 80


def test_a_tab_and_a_wide_line_keep_the_caret_in_its_place() -> None:
    assert span("a bcd-e f", 2) == 5
    assert span("a: [", 3) == 1
    assert span("a: 'b c', d", 3) == 5
    line, at = crop("x" * 200 + "here" + "y" * 200, 200, 75)
    assert line[at : at + 4] == "here"
    assert len(line) <= 75
    assert line.startswith("...")
    assert line.endswith("...")
