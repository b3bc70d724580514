"""The functions of time: conversions, and the parts of timestamps (in a time zone) and of durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame, mismatch
from engine.language.expressions.overloads import Overload
from engine.language.expressions.times import (
    MILLISECOND,
    SECOND,
    Duration,
    Timestamp,
    moment_of,
    offset_seconds,
    parse_duration,
    parse_timestamp,
    timestamp_of,
)
from engine.language.expressions.types import DURATION, INT, STRING, TIMESTAMP

_COST_OF_TEXT = 32
_COST_OF_TIME = 2
_COST_OF_PART = 8
_COST_OF_ZONE = 40
_COST_OF_NEW_ZONE = 2_000
_OFFSET = re.compile(r"([+-]?)(\d\d?):(\d\d)", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_LONGEST_ZONE = 64
_MOST_ZONES = 1024

Part: TypeAlias = Callable[[datetime], int]


def _same(_: Frame, value: object) -> object:
    return value


def _timestamp_of_int(frame: Frame, seconds: int) -> Timestamp:
    frame.spend(_COST_OF_TIME)
    return timestamp_of(seconds * SECOND)


def _timestamp_of_string(frame: Frame, text: str) -> Timestamp:
    frame.spend(_COST_OF_TEXT)
    return parse_timestamp(text)


def _duration_of_string(frame: Frame, text: str) -> Duration:
    frame.spend(_COST_OF_TEXT)
    return parse_duration(text)


def _int_of_timestamp(_: Frame, value: Timestamp) -> int:
    return value.nanos // SECOND


def _text(frame: Frame, value: Timestamp | Duration) -> str:
    frame.spend(_COST_OF_TEXT)
    return value.text()


CONVERSIONS: Mapping[str, tuple[Overload, ...]] = {
    "timestamp": (
        Overload(("timestamp",), TIMESTAMP, _same),
        Overload(("string",), TIMESTAMP, _timestamp_of_string),
        Overload(("int",), TIMESTAMP, _timestamp_of_int),
    ),
    "duration": (
        Overload(("duration",), DURATION, _same),
        Overload(("string",), DURATION, _duration_of_string),
    ),
    "string": (Overload(("timestamp",), STRING, _text), Overload(("duration",), STRING, _text)),
    "int": (Overload(("timestamp",), INT, _int_of_timestamp),),
}


@lru_cache(maxsize=_MOST_ZONES)
def _named_zone(name: str) -> ZoneInfo | None:
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _zone(frame: Frame, name: str) -> tzinfo:
    frame.spend(_COST_OF_ZONE)
    if (found := _OFFSET.fullmatch(name)) is not None:
        return timezone(timedelta(seconds=offset_seconds(*found.groups())))
    if name == "UTC":
        return UTC
    if name not in frame.zones:
        frame.spend(_COST_OF_NEW_ZONE)
        frame.zones = frozenset((*frame.zones, name))
    zone = _named_zone(name) if len(name) <= _LONGEST_ZONE else None
    if zone is None:
        raise mismatch("a time zone is a name like 'Europe/Berlin' or an offset like '+01:00'")
    return zone


def _shown(frame: Frame, value: Timestamp, zone: str | None) -> datetime:
    frame.spend(_COST_OF_PART)
    moment = moment_of(value)
    if zone is None:
        return moment
    try:
        return moment.astimezone(_zone(frame, zone))
    except OverflowError:
        raise ExpressionFailed(
            "overflow", "in this time zone a timestamp leaves the years 1 to 9999"
        ) from None


def _part(part: Part) -> Callable[..., int]:
    def read(frame: Frame, value: Timestamp, zone: str | None = None) -> int:
        return part(_shown(frame, value, zone))

    return read


def _milliseconds(frame: Frame, value: Timestamp, zone: str | None = None) -> int:
    _shown(frame, value, zone)
    return value.nanos % SECOND // MILLISECOND


def _length(unit: int, most: int | None = None) -> Callable[..., int]:
    def read(_: Frame, value: Duration) -> int:
        length = abs(value.nanos) // unit
        length = length if most is None else length % most
        return -length if value.nanos < 0 else length

    return read


_PARTS: Mapping[str, Callable[..., int]] = {
    "getFullYear": _part(lambda moment: moment.year),
    "getMonth": _part(lambda moment: moment.month - 1),
    "getDate": _part(lambda moment: moment.day),
    "getDayOfMonth": _part(lambda moment: moment.day - 1),
    "getDayOfWeek": _part(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _part(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _part(lambda moment: moment.hour),
    "getMinutes": _part(lambda moment: moment.minute),
    "getSeconds": _part(lambda moment: moment.second),
    "getMilliseconds": _milliseconds,
}
_LENGTHS: Mapping[str, Callable[..., int]] = {
    "getHours": _length(3600 * SECOND),
    "getMinutes": _length(60 * SECOND),
    "getSeconds": _length(SECOND),
    "getMilliseconds": _length(MILLISECOND, 1000),
}


def _overloads(name: str) -> tuple[Overload, ...]:
    part = _PARTS[name]
    of_timestamp = (
        Overload(("timestamp",), INT, part),
        Overload(("timestamp", "string"), INT, part),
    )
    length = _LENGTHS.get(name)
    return of_timestamp if length is None else (*of_timestamp, Overload(("duration",), INT, length))


PARTS: Mapping[str, tuple[Overload, ...]] = {name: _overloads(name) for name in _PARTS}
