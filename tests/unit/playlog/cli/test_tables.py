from __future__ import annotations

import io

import pytest
from pydantic import JsonValue
from rich.console import Console

from playlog.answers import Step
from playlog.cli.tables import bytes_text, duration, seconds_text, steps_view, value_view


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (3.44, "3.4 s"), (125, "2 m 05 s"), (3780, "1 h 03 m")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_step_that_has_not_begun_has_no_duration() -> None:
    assert duration(None, None) == "-"
    assert duration("2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.500000Z") == "500 ms"


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=120)
    step: Step = {
        "step": "[red]x[/red]",
        "status": "completed",
        "attempts": 1,
        "failures": 0,
        "lost": 0,
        "items": {"total": 200, "completed": 120, "failed": 2, "open": 20, "left": 58},
        "skip_reason": None,
        "started_at": None,
        "ended_at": None,
    }
    console.print(steps_view([step]))
    assert isinstance(console.file, io.StringIO)
    assert "[red]x[/red]" in console.file.getvalue()
    assert "120/200 items, 2 failed, 20 open" in console.file.getvalue()


@pytest.mark.parametrize(("size", "text"), [(900, "900 bytes"), (307_200, "300 KiB"), (5_242_882, "5.0 MiB")])
def test_a_large_value_is_named_by_its_size_and_the_command_that_shows_it(size: int, text: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    uri = "payload:17/" + "ab" * 32
    console.print(value_view("output", {"reference": {"kind": "ref", "uri": uri, "bytes": size}}))
    assert isinstance(console.file, io.StringIO)
    assert f"{text}, shown by: playlog payload {uri}" in console.file.getvalue()
    assert bytes_text(size) == text


def test_a_list_that_a_map_gave_is_named_by_its_length() -> None:
    console = Console(file=io.StringIO(), width=200)
    uri = "map:17/price/3-9/outputs"
    console.print(
        value_view("output", {"reference": {"kind": "map", "uri": uri, "bytes": 307_200, "count": 9_000}})
    )
    assert isinstance(console.file, io.StringIO)
    assert f"9000 elements, 300 KiB, shown by: playlog payload {uri}" in console.file.getvalue()


@pytest.mark.parametrize("reference", [None, 7, {"uri": 1, "bytes": 1}, {"uri": "s3://x"}])
def test_other_references_are_shown_as_they_are(reference: JsonValue) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(value_view("output", {"reference": reference}))
    assert isinstance(console.file, io.StringIO)
    assert "playlog payload" not in console.file.getvalue()
