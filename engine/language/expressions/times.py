"""Timestamps and durations as values: exact nanoseconds, read and written as RFC 3339 and as seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.domain.expression import ExpressionFailed

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_LONGEST_NANOS = 2**63 - 1
_LONGEST_TEXT = 100
_SECONDS_SHOWN = len("2026-01-02T03:04:05")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_PART = r"(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns)"
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_PART})+)", re.ASCII)
_PARTS = re.compile(r"(\d*)\.?(\d*)(h|ms|m|s|us|µs|ns)", re.ASCII)
_UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": MILLISECOND,
    "us": 1000,
    "µs": 1000,
    "ns": 1,
}


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A moment of the years 1 to 9999, as nanoseconds since 1970 began in UTC."""

    nanos: int

    def text(self) -> str:
        """RFC 3339 in UTC, with 0, 3, 6 or 9 digits of a second's fraction."""
        seconds, rest = divmod(self.nanos, SECOND)
        return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:_SECONDS_SHOWN]}{_fraction(rest)}Z"


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time of at most 292 years either way, in nanoseconds that fit into 64 bits."""

    nanos: int

    def text(self) -> str:
        """Seconds, with 0, 3, 6 or 9 digits of a fraction: `5400s`, `-1.500s`."""
        seconds, rest = divmod(abs(self.nanos), SECOND)
        return f"{'-' if self.nanos < 0 else ''}{seconds}{_fraction(rest)}s"


def timestamp_of(nanos: int) -> Timestamp:
    """A timestamp, or `overflow`."""
    if _FIRST_SECOND <= nanos // SECOND <= _LAST_SECOND:
        return Timestamp(nanos)
    raise ExpressionFailed("overflow", "a timestamp leaves the years 1 to 9999")


def duration_of(nanos: int) -> Duration:
    """A duration, or `overflow`."""
    if abs(nanos) <= _LONGEST_NANOS:
        return Duration(nanos)
    raise ExpressionFailed("overflow", "a duration is longer than 292 years")


def parse_timestamp(text: str) -> Timestamp:
    """Read RFC 3339: `2026-01-02T03:04:05.5+01:00`; raise `type_mismatch` or `overflow`."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise _no_timestamp()
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    if year == 0:
        raise ExpressionFailed("overflow", "a timestamp leaves the years 1 to 9999")
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise _no_timestamp() from None
    nanos = (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int((fraction or "0").ljust(9, "0"))
    return timestamp_of(nanos - (0 if sign is None else offset_seconds(sign, hours, minutes) * SECOND))


def offset_seconds(sign: str, hours: str, minutes: str) -> int:
    """The offset `+01:00` in seconds; raise `type_mismatch` when there is no such offset."""
    if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004  # hours of a day, minutes of an hour
        raise ExpressionFailed("type_mismatch", "an offset from UTC is less than 24 hours")
    seconds = int(hours) * 3600 + int(minutes) * 60
    return -seconds if sign == "-" else seconds


def parse_duration(text: str) -> Duration:
    """Read `1h30m`, `-1.5s`, `100ms`; raise `type_mismatch` or `overflow`."""
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise ExpressionFailed(
            "type_mismatch", "duration() is given a string that is no duration like '1h30m'"
        )
    nanos = sum(_nanos(*found.groups()) for found in _PARTS.finditer(text))
    return duration_of(-nanos if text.startswith("-") else nanos)


def moment_of(timestamp: Timestamp) -> datetime:
    """The second a timestamp lies in, in UTC."""
    return datetime.fromtimestamp(timestamp.nanos // SECOND, UTC)


def _nanos(whole: str, fraction: str, unit: str) -> int:
    size = _UNITS[unit]
    return int(whole or "0") * size + int(fraction or "0") * size // int("1" + "0" * len(fraction))


def _fraction(nanos: int) -> str:
    if nanos == 0:
        return ""
    digits = f"{nanos:09d}"
    return "." + (digits[:3] if nanos % MILLISECOND == 0 else digits[:6] if nanos % 1000 == 0 else digits)


def _no_timestamp() -> ExpressionFailed:
    example = "2026-01-02T03:04:05Z"
    return ExpressionFailed(
        "type_mismatch", f"timestamp() is given a string that is no time like '{example}'"
    )
