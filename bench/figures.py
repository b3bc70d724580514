"""A figure as one JSON line: what was measured, in which unit, over how many rounds, on which machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version

import orjson

LIBRARIES = ("asyncpg", "aiohttp", "nats-py", "orjson", "uvloop")


def show(name: str, values: Sequence[float], unit: str, *, ratio_to: float | None = None) -> None:
    """Print one figure; `value` is the median of its rounds, `ratio_to` what the same run compares it to."""
    middle = statistics.median(values)
    line: dict[str, object] = {
        "name": name,
        "value": _round(middle),
        "unit": unit,
        "ratio_to": None if not ratio_to else _round(middle / ratio_to),
        "rounds": len(values),
        "min": _round(min(values)),
        "median": _round(middle),
        "max": _round(max(values)),
        "machine": machine(),
    }
    print(orjson.dumps(line).decode(), flush=True)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "load": _round(os.getloadavg()[0]),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _round(value: float) -> float:
    return float(f"{value:.4g}")
