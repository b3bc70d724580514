from __future__ import annotations

from engine.runtime.settings import BrokerSettings
from engine.runtime.stream_config import SUBJECTS, merged, wanted

SETTINGS = BrokerSettings(stream_max_bytes=2**30, stream_max_age=86_400)
DAY = 86_400 * 10**9


def test_a_stored_stream_as_wanted_stays_as_it_is() -> None:
    stored = {**wanted(SETTINGS), "num_replicas": 3, "unknown_field": 1}
    assert merged(stored, wanted(SETTINGS)) == stored


def test_larger_and_absent_limits_of_an_operator_stay() -> None:
    ours = wanted(SETTINGS)
    larger = merged({**ours, "max_age": 9 * DAY, "max_bytes": 2**40, "duplicate_window": 10 * DAY}, ours)
    assert (larger["max_age"], larger["max_bytes"]) == (9 * DAY, 2**40)
    assert larger["duplicate_window"] == 10 * DAY
    unlimited = merged({**ours, "max_age": 0, "max_bytes": -1}, ours)
    assert (unlimited["max_age"], unlimited["max_bytes"]) == (0, -1)


def test_what_is_missing_or_smaller_is_raised() -> None:
    ours = wanted(SETTINGS)
    stored = {
        "name": "PLAYLOG_EVENTS",
        "subjects": ["other.>"],
        "max_age": 1,
        "max_bytes": 1,
        "discard": "new",
        "duplicate_window": 1,
    }
    better = merged(stored, ours)
    assert better["subjects"] == ["other.>", SUBJECTS]
    assert (better["max_age"], better["max_bytes"], better["discard"]) == (DAY, 2**30, "old")
    assert better["allow_atomic"]
    assert better["deny_delete"]
    assert better["duplicate_window"] == 120 * 10**9
