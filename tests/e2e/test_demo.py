"""`playlog demo` shows the examples and proves what was recorded."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import servers
from tests.support.command_line import playlog
from tests.support.page_runner import first_missing
from tests.support.pages import blocks_of
from tests.support.tree import ROOT


async def test_the_demo_runs_the_examples_and_proves_what_was_recorded(tmp_path: Path) -> None:
    done = await playlog("demo", folder=tmp_path)
    assert (done.status, done.errors) == (0, ""), done.output + done.errors
    for words in (
        "attempt 2: http_status 503",
        "the demo sends the signal approved",
        'output     {"greeting":"Hello, Ada!"}',
        'output     {"orders":3,"published":true}',
        "3 of 3 snapshots equal a fresh fold of the log",
        "everything is as it should be",
    ):
        assert words in done.output
    (shown,) = blocks_of(ROOT / "README.md", "text")
    assert first_missing(shown.text, done.output) is None
    events = re.search(r"(\d+) events in the log", done.output)
    messages = re.search(r"(\d+) messages in the stream with (\d+) events, each exactly once", done.output)
    assert events is not None
    assert messages is not None
    assert events[1] == messages[2]
    (*_, proof) = done.output.partition("what was recorded")
    kinds = re.findall(r"(command\.\w+|step\.\w+) +greet", proof)
    assert kinds == ["command.issued", "command.completed", "step.completed"]
    assert max(map(len, done.output.splitlines())) <= 80


async def test_what_the_demo_keeps_can_be_gone_on_with() -> None:
    with servers.temporary_home() as home:
        done = await playlog("demo", "--keep", home, folder=home.parent)
        assert done.status == 0, done.output + done.errors
        assert f"playlog dev --home {home}" in " ".join(done.output.split())
        again = await playlog("demo", "--keep", home, folder=home.parent)
        assert again.status == 0, again.output + again.errors
        assert "6 of 6 snapshots equal a fresh fold of the log" in again.output
