"""Values as they stand in a URL or a header: plain text to exact types, never more lenient than JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

from engine.domain.ids import parse_id
from engine.errors import NotFound

MAX_VERSION = 2**31 - 1
MAX_TEXT = 200

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

T = TypeVar("T")


def has_control(text: str) -> bool:
    """Whether a text holds what no name has: control characters, or halves of characters."""
    return _CONTROL.search(text) is not None


def parse_execution_id(text: str) -> int:
    """The id in a path; what cannot be an id raises `NotFound`, as no execution has it."""
    execution_id = parse_id(text)
    if execution_id is None:
        raise unknown_execution(text)
    return execution_id


def unknown_execution(execution_id: int | str) -> NotFound:
    """The error for an id that no execution has; only a proper id is repeated."""
    which = f" {execution_id}" if isinstance(execution_id, int) else " of that id"
    return NotFound(f"there is no execution{which}", code="unknown_execution")


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _seconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("must be a number of seconds, such as 2.5")
    return float(text)


def _flag(text: str) -> bool:
    if text not in {"", "true", "false"}:
        raise ValueError("must be true or false")
    return text != "false"


def _time(text: str) -> datetime:
    if _TIME.fullmatch(text) is None:
        raise ValueError("must be a time such as 2026-01-31T09:30:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that exists, between the years 1 and 9999") from None


def _words(text: str) -> tuple[str, ...]:
    words = tuple(_text(word) for word in text.split(","))
    if not all(words):
        raise ValueError("must be names separated by commas")
    return words


def _text(text: str) -> str:
    if has_control(text):
        raise ValueError("must not hold control characters")
    if len(text) > MAX_TEXT:
        raise ValueError(f"must have at most {MAX_TEXT} characters")
    return text


def _of_text(parse: Callable[[str], T]) -> BeforeValidator:
    """Parse what stands in a URL; a default is no text and stays."""

    def parsed(value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    return BeforeValidator(parsed)


Whole = Annotated[int, _of_text(_whole)]
Seconds = Annotated[float, _of_text(_seconds)]
Flag = Annotated[bool, _of_text(_flag)]
Time = Annotated[datetime, _of_text(_time)]
Text = Annotated[str, _of_text(_text)]
Words = Annotated[tuple[str, ...], _of_text(_words)]
