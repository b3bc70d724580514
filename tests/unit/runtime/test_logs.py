from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from engine.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Configured logging, undone afterwards, and what it has written."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_event_process_and_pid(stderr: Callable[[], str]) -> None:
    logs.configure("publisher")
    structlog.get_logger("x").info("stream.created", stream="EVENTS")
    line = json.loads(stderr())
    assert (
        line.items()
        >= {
            "event": "stream.created",
            "level": "info",
            "process": "publisher",
            "stream": "EVENTS",
        }.items()
    )
    assert line["time"].endswith("Z")
    assert isinstance(line["pid"], int)


def test_libraries_write_the_same_lines(stderr: Callable[[], str]) -> None:
    logs.configure("publisher")
    logging.getLogger("nats").warning("slow %s", "consumer")
    line = json.loads(stderr())
    assert (line["event"], line["process"], line["level"]) == ("slow consumer", "publisher", "warning")


def test_an_exception_keeps_its_traceback(stderr: Callable[[], str]) -> None:
    logs.configure("publisher")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger("x").exception("crashed")
    assert "ZeroDivisionError" in json.loads(stderr())["exception"]


def test_values_of_secrets_are_hidden_also_inside_mappings(stderr: Callable[[], str]) -> None:
    logs.configure("publisher")
    structlog.get_logger("x").warning(
        "sent", token="hunter2", Authorization="hunter2", headers={"db_password": "hunter2", "a": 1}
    )
    line = stderr()
    assert "hunter2" not in line
    assert json.loads(line)["headers"] == {"db_password": "***", "a": 1}


def test_lines_below_the_level_are_not_written(stderr: Callable[[], str]) -> None:
    logs.configure("publisher", level="warning")
    structlog.get_logger("x").info("quiet")
    assert stderr() == ""


def test_a_terminal_gets_text(stderr: Callable[[], str]) -> None:
    logs.configure("publisher", form="console")
    structlog.get_logger("x").info("stream.created")
    line = stderr()
    assert "stream.created" in line
    assert not line.startswith("{")
