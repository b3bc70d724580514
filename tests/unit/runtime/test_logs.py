from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from engine.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_event_process_and_pid(stderr: io.StringIO) -> None:
    logs.configure("publisher")
    structlog.get_logger("x").info("stream.created", stream="EVENTS")
    line = json.loads(stderr.getvalue())
    assert line.items() >= {
        "event": "stream.created",
        "level": "info",
        "process": "publisher",
        "stream": "EVENTS",
    }.items()
    assert line["time"].endswith("Z")
    assert isinstance(line["pid"], int)


def test_libraries_write_the_same_lines(stderr: io.StringIO) -> None:
    logs.configure("publisher")
    logging.getLogger("nats").warning("slow %s", "consumer")
    line = json.loads(stderr.getvalue())
    assert (line["event"], line["process"], line["level"]) == ("slow consumer", "publisher", "warning")


def test_an_exception_keeps_its_traceback(stderr: io.StringIO) -> None:
    logs.configure("publisher")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger("x").exception("crashed")
    assert "ZeroDivisionError" in json.loads(stderr.getvalue())["exception"]


def test_values_of_secrets_are_hidden_also_inside_mappings(stderr: io.StringIO) -> None:
    logs.configure("publisher")
    structlog.get_logger("x").warning(
        "sent", token="hunter2", Authorization="hunter2", headers={"db_password": "hunter2", "a": 1}
    )
    assert "hunter2" not in stderr.getvalue()
    assert json.loads(stderr.getvalue())["headers"] == {"db_password": "***", "a": 1}


def test_lines_below_the_level_are_not_written(stderr: io.StringIO) -> None:
    logs.configure("publisher", level="warning")
    structlog.get_logger("x").info("quiet")
    assert stderr.getvalue() == ""


def test_a_terminal_gets_text(stderr: io.StringIO) -> None:
    logs.configure("publisher", form="console")
    structlog.get_logger("x").info("stream.created")
    assert "stream.created" in stderr.getvalue()
    assert not stderr.getvalue().startswith("{")
