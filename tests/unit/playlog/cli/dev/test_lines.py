from __future__ import annotations

import io
import json

from rich.console import Console

from playlog.cli.dev.lines import LinePrinter, render

LINE = {"event": "stream.created", "level": "info", "time": "x", "process": "projector", "pid": 1}


def test_a_json_line_becomes_words() -> None:
    text = render("projector", json.dumps({**LINE, "stream": "S", "n": 2})).plain
    assert text == "projector    --:--:-- stream.created stream=S n=2"


def test_a_level_above_info_is_named_and_an_exception_follows_its_line() -> None:
    text = render("worker", json.dumps({**LINE, "level": "error", "exception": "Traceback"})).plain
    assert text == "worker       --:--:-- error stream.created\nTraceback"


def test_any_other_line_stays_as_it_is() -> None:
    assert render("worker", "[1, 2]").plain == "worker       [1, 2]"
    assert render("worker", "[bold]x").plain == "worker       [bold]x"


def test_until_everything_is_ready_only_errors_are_shown() -> None:
    console = Console(file=io.StringIO(), width=80)
    printer = LinePrinter(console)
    printer("worker", json.dumps({**LINE, "level": "warning"}))
    printer("worker", json.dumps({**LINE, "level": "error", "event": "broken"}))
    printer.starting = False
    printer("worker", json.dumps({**LINE, "event": "now"}))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split()[-1] for line in lines] == ["broken", "now"]
