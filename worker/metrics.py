"""The worker's metrics with their labels looked up once: a look-up costs more than the count."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from engine.runtime import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

busy_slots = metrics.worker_busy_slots
held_commands = metrics.worker_held_commands
heartbeat_failures = metrics.worker_heartbeat_failures
log_lines_dropped = metrics.worker_dropped_log_lines


@cache
def commands(tool: str, outcome: str) -> Counter:
    """Return the counter of one tool and outcome."""
    return metrics.worker_commands.labels(tool, outcome)


@cache
def command_seconds(tool: str) -> Histogram:
    """Return the run time histogram of one tool."""
    return metrics.worker_command_seconds.labels(tool)


@cache
def request_seconds(route: str) -> Histogram:
    """Return the latency histogram of one route."""
    return metrics.worker_request_seconds.labels(route)


@cache
def rejected(code: str) -> Counter:
    """Return the counter of one rejection code."""
    return metrics.worker_rejected_results.labels(code)
