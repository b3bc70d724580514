from __future__ import annotations

import pytest

from engine.language.durations import normalize, seconds, written


@pytest.mark.parametrize(
    ("text", "stored", "used"),
    [
        ("500ms", "500ms", 0.5),
        ("1500ms", "1500ms", 1.5),
        ("2000ms", "2s", 2),
        ("30s", "30s", 30),
        ("90s", "90s", 90),
        ("1m30s", "90s", 90),
        ("5m", "300s", 300),
        ("1h30m", "5400s", 5400),
        ("2d", "172800s", 172_800),
        ("1d1h1m1s1ms", "90061001ms", 90_061.001),
        ("0s", "0s", 0),
        ("3650d", "315360000s", 315_360_000),
    ],
)
def test_a_duration_has_one_stored_spelling(text: str, stored: str, used: float) -> None:
    assert normalize(text) == stored
    assert normalize(stored) == stored
    assert seconds(stored) == used


@pytest.mark.parametrize(
    "text",
    ["", "30", "1.5h", "-1s", "30 s", "s", "1s1m", "1m1m", "1w", "1H", "3651d", "9" * 50 + "s", "٣s", "1s\n"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        normalize(text)


def test_a_duration_is_told_as_people_write_it() -> None:
    told = {0: "0s", 0.5: "500ms", 90: "1m30s", 5400: "1h30m", 30 * 86_400: "30d", 90_061.001: "1d1h1m1s1ms"}
    assert {used: written(used) for used in told} == told
