"""Timestamps and durations: exact to the nanosecond, within their range, in any time zone, text as JSON."""

from __future__ import annotations

from collections.abc import Callable

import pytest

AT = "timestamp('2026-03-29T01:30:15.123456789Z')"
VALUES: dict[str, object] = {"day": "2026-01-02", "zone": "Europe/Berlin", "n": 5}

RESULTS: list[tuple[str, object]] = [
    (AT, "2026-03-29T01:30:15.123456789Z"),
    ("timestamp('2026-03-29t01:30:15z')", "2026-03-29T01:30:15Z"),
    ("timestamp('2026-03-29T01:30:15.500+05:30')", "2026-03-28T20:00:15.500Z"),
    ("timestamp('2026-03-29T01:30:15.0001-01:00')", "2026-03-29T02:30:15.000100Z"),
    ("timestamp('0001-01-01T00:00:00Z')", "0001-01-01T00:00:00Z"),
    ("timestamp('9999-12-31T23:59:59.999999999Z')", "9999-12-31T23:59:59.999999999Z"),
    ("timestamp(timestamp(-1))", "1969-12-31T23:59:59Z"),
    ("timestamp(day + 'T00:00:00Z') + duration('36h')", "2026-01-03T12:00:00Z"),
    ("int(timestamp('1969-12-31T23:59:59.5Z'))", -1),
    ("string(timestamp(0)) + string(duration('1500ms'))", "1970-01-01T00:00:00Z1.500s"),
    (
        "[duration('1h30m'), duration('-1.5h'), duration('1m1ms'), duration('7ns')]",
        ["5400s", "-5400s", "60.001s", "0.000000007s"],
    ),
    (
        "[duration('0'), duration('+.5s'), duration('2us'), duration('3µs'), duration('1.9999999999s')]",
        ["0s", "0.500s", "0.000002s", "0.000003s", "1.999999999s"],
    ),
    ("timestamp(90) - timestamp(0) == duration('90s')", True),
    ("duration('1s') + timestamp(0) == timestamp(1) && timestamp(1) - duration('1s') == timestamp(0)", True),
    ("duration('1s') + duration('1s') - duration('3s')", "-1s"),
    (
        "timestamp(1) > timestamp(0) && duration('60s') >= duration('1m')",
        True,
    ),
    ("timestamp(1) == n || duration('5s') == n", False),
    ("timestamp(1) in [timestamp(0), timestamp(1)]", True),
    (f"[{AT}.getFullYear(), {AT}.getMonth(), {AT}.getDate(), {AT}.getDayOfMonth()]", [2026, 2, 29, 28]),
    (f"[{AT}.getDayOfWeek(), {AT}.getDayOfYear()]", [0, 87]),
    (f"[{AT}.getHours(), {AT}.getMinutes(), {AT}.getSeconds(), {AT}.getMilliseconds()]", [1, 30, 15, 123]),
    (
        f"['UTC', zone, '+05:30', '05:30', '-1:00', 'Asia/Kathmandu'].map(z, {AT}.getHours(z))",
        [1, 3, 7, 7, 0, 7],
    ),
    ("['2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z'].map(t, timestamp(t).getHours(zone))", [1, 3]),
    ("timestamp('2026-01-01T00:30:00Z').getFullYear('America/New_York')", 2025),
    ("timestamp('1969-12-31T23:59:59.678Z').getMilliseconds('+01:00')", 678),
    ("[duration('3730.5s').getHours(), duration('-3730.5s').getMinutes()]", [1, -62]),
    ("[duration('-3730.5s').getSeconds(), duration('-3730.5s').getMilliseconds()]", [-3730, -500]),
    (
        "{'a': [timestamp(0), {'b': duration('1s')}], 'c': n}",
        {"a": ["1970-01-01T00:00:00Z", {"b": "1s"}], "c": 5},
    ),
]


@pytest.mark.parametrize(("source", "value"), RESULTS)
def test_a_time_gives(evaluate: Callable[..., object], source: str, value: object) -> None:
    assert evaluate(source, VALUES) == value


NO_TIME = "timestamp() is given a string that is no time like '2026-01-02T03:04:05Z'"
NO_DURATION = "duration() is given a string that is no duration like '1h30m'"
OUT_OF_YEARS = "a timestamp leaves the years 1 to 9999"
TOO_LONG = "a duration is longer than 292 years"
NO_ZONE = "a time zone is a name like 'Europe/Berlin' or an offset like '+01:00'"

FAILURES = [
    *(
        (f"timestamp('{text}')", "type_mismatch", NO_TIME)
        for text in (
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02 03:04:05Z",
            "2026-02-30T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05.Z",
            "٢٠٢٦-01-02T03:04:05Z",
            "",
        )
    ),
    *(
        (f"duration('{text}')", "type_mismatch", NO_DURATION)
        for text in (
            "",
            "1",
            "1d",
            "s",
            "1m-1s",
            " 1s",
            "1 s",
            "inf",
            "1e3s",
            "--1s",
            ".",
            "٣s",
            "1s" * 60,
        )
    ),
    ("timestamp('0000-12-31T23:59:59Z')", "overflow", OUT_OF_YEARS),
    ("timestamp('0001-01-01T00:00:00+00:01')", "overflow", OUT_OF_YEARS),
    ("timestamp(253402300800)", "overflow", OUT_OF_YEARS),
    ("timestamp('9999-12-31T23:59:59.999999999Z') + duration('1ns')", "overflow", OUT_OF_YEARS),
    ("timestamp('0001-01-01T00:00:00Z') - duration('1ns')", "overflow", OUT_OF_YEARS),
    ("timestamp('9999-12-31T23:59:59Z') - timestamp(0)", "overflow", TOO_LONG),
    ("duration('9223372036.854775808s')", "overflow", TOO_LONG),
    ("duration('2562047h') + duration('1h')", "overflow", TOO_LONG),
    ("timestamp('2026-01-02T03:04:05+24:00')", "type_mismatch", "an offset from UTC is less than 24 hours"),
    *(
        (f"timestamp(0).getHours('{zone}')", "type_mismatch", NO_ZONE)
        for zone in (
            "",
            "Z",
            "Nope/Nowhere",
            "../etc/passwd",
            "/etc/localtime",
            "Europe",
            "europe\\x5cberlin",
            "+1",
            "a" * 100,
        )
    ),
    ("timestamp(0).getHours('+24:00')", "type_mismatch", "an offset from UTC is less than 24 hours"),
    (
        "timestamp('9999-12-31T23:59:59Z').getFullYear('+01:00')",
        "overflow",
        "in this time zone a timestamp leaves the years 1 to 9999",
    ),
    (
        "[n].map(x, timestamp(0) + x)",
        "type_mismatch",
        "'+' has no meaning for a timestamp and an int in (...) + x",
    ),
    (
        "[n].map(x, x - duration('1s'))",
        "type_mismatch",
        "'-' has no meaning for an int and a duration in x - (...)",
    ),
]


@pytest.mark.parametrize(("source", "code", "detail"), FAILURES)
def test_a_time_fails(failure: Callable[..., tuple[str, str]], source: str, code: str, detail: str) -> None:
    found, told = failure(source, VALUES)
    assert (found, told.replace("duration(...)", "(...)").replace("timestamp(...)", "(...)")) == (
        code,
        detail,
    )


FAULTS = [
    ("timestamp(1.5)", "1:11: timestamp() takes an int or a string or a timestamp here, not a double"),
    ("duration(5)", "1:10: duration() takes a duration or a string here, not an int"),
    ("timestamp(0) + timestamp(0)", "1:14: '+' has no meaning for a timestamp and a timestamp"),
    ("duration('1s') - timestamp(0)", "1:16: '-' has no meaning for a duration and a timestamp"),
    ("duration('1s') * 2", "1:16: '*' has no meaning for a duration and an int"),
    ("-duration('1s')", "1:1: '-' has no meaning for a duration"),
    ("timestamp(0) < duration('1s')", "1:14: '<' has no meaning for a timestamp and a duration"),
    ("timestamp(0).getDay()", "1:14: there is no method getDay(), did you mean 'getDate'?"),
    ("duration('1s').getMonth()", "1:16: getMonth() is a method of a timestamp, not of a duration"),
    ("timestamp(0).x", "1:14: a timestamp has no keys"),
    ("{timestamp(0): 1}", "1:2: the key of a map is a string or an int, not a timestamp"),
]


@pytest.mark.parametrize(("source", "fault"), FAULTS)
def test_a_wrong_use_of_time_is_refused(faults: Callable[..., list[str]], source: str, fault: str) -> None:
    assert faults(source) == [fault]


def test_data_beside_a_time_in_a_result_is_not_changed(evaluate: Callable[..., object]) -> None:
    data = {"a": [1, {"b": 2}]}
    result = evaluate("{'at': timestamp(0), 'data': data, 'again': [data]}", {"data": data})
    assert result == {"at": "1970-01-01T00:00:00Z", "data": data, "again": [data]}
    assert data == {"a": [1, {"b": 2}]}
