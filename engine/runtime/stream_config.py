"""How the stream is configured: what we want, and what an operator's own configuration lacks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from engine.runtime.settings import BrokerSettings

Config: TypeAlias = "dict[str, Any]"

SUBJECTS = "playlog.events.>"
_SECOND = 1_000_000_000
_DUPLICATE_WINDOW_SECONDS = 120
_UNLIMITED = {"max_age": 0, "max_bytes": -1}


def wanted(settings: BrokerSettings) -> Config:
    """Return the configuration of a new stream, as JetStream's API takes it."""
    return {
        "name": settings.stream,
        "subjects": [SUBJECTS],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": int(settings.stream_max_age) * _SECOND,
        "max_bytes": settings.stream_max_bytes,
        "duplicate_window": _DUPLICATE_WINDOW_SECONDS * _SECOND,
        "allow_atomic": True,
        "deny_delete": True,
    }


def merged(stored: Config, ours: Config) -> Config:
    """Return the stored configuration with what it lacks of ours; larger limits and other fields stay."""
    return {
        **stored,
        "subjects": sorted({*stored.get("subjects", ()), *ours["subjects"]}),
        "discard": ours["discard"],
        "max_age": _larger("max_age", stored, ours),
        "max_bytes": _larger("max_bytes", stored, ours),
        "duplicate_window": max(stored.get("duplicate_window", 0), ours["duplicate_window"]),
        "allow_atomic": True,
        "deny_delete": True,
    }


def has_room(stored: Config, size: int) -> bool:
    """Whether a stream of so many bytes loses messages by age alone."""
    most = int(stored.get("max_bytes", -1))
    counted = [int(stored.get(limit, -1)) for limit in ("max_msgs", "max_msgs_per_subject")]
    return max(counted) <= 0 and (most <= 0 or 2 * size < most)


def _larger(limit: str, stored: Config, ours: Config) -> int:
    unlimited = _UNLIMITED[limit]
    held = int(stored.get(limit, unlimited))
    return unlimited if held <= max(unlimited, 0) else max(held, int(ours[limit]))
