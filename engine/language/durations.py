"""Durations as people write them (`1h30m`), as they are stored (`5400s`) and as they are used (seconds)."""

from __future__ import annotations

import re

PATTERN = r"^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?$"
LONGEST = 10 * 365 * 86_400_000
_UNITS = (86_400_000, 3_600_000, 60_000, 1000, 1)
_DURATION = re.compile(PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)


def normalize(text: str) -> str:
    """Return the one stored spelling of a duration: whole seconds, or else milliseconds.

    Raises `ValueError` for anything but `500ms`, `30s`, `5m`, `1h30m`, `2d` and their like up to ten years.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError("is not a duration")
    milliseconds = sum(int(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
    if milliseconds > LONGEST:
        raise ValueError("is longer than ten years")
    seconds, rest = divmod(milliseconds, 1000)
    return f"{milliseconds}ms" if rest else f"{seconds}s"


def seconds(normal: str) -> float:
    """Return a stored duration in seconds."""
    if normal.endswith("ms"):
        return int(normal[:-2]) / 1000
    return float(normal[:-1])


def written(duration: float) -> str:
    """Return seconds as people write them: `30d`, `1h30m`, `500ms`."""
    rest, text = round(duration * 1000), ""
    for unit, name in zip(_UNITS, ("d", "h", "m", "s", "ms"), strict=True):
        count, rest = divmod(rest, unit)
        text += f"{count}{name}" if count else ""
    return text or "0s"
