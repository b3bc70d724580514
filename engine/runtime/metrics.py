"""Every metric of the product, defined once; names are `playlog_<noun>_<unit>`."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_AGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the reference page."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


CATALOG: list[Entry] = []


def _counter(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
    CATALOG.append(Entry(name=name, kind="counter", labels=labels, meaning=meaning))
    return Counter(name, meaning, labels)


def _gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
    CATALOG.append(Entry(name=name, kind="gauge", labels=labels, meaning=meaning))
    return Gauge(name, meaning, labels)


def _histogram(
    name: str, meaning: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _SECONDS
) -> Histogram:
    CATALOG.append(Entry(name=name, kind="histogram", labels=labels, meaning=meaning))
    return Histogram(name, meaning, labels, buckets=buckets)


http_requests = _counter(
    "playlog_http_requests_total", "Requests answered.", ("route", "method", "status_class")
)
http_seconds = _histogram(
    "playlog_http_request_seconds", "Seconds from request to answer.", ("route", "method")
)
http_refused_connections = _counter(
    "playlog_http_refused_connections_total", "Connections refused because too many were open."
)

loop_passes = _counter("playlog_loop_passes_total", "Passes of a background loop that ended well.", ("loop",))
loop_failures = _counter(
    "playlog_loop_failures_total", "Passes of a background loop that failed.", ("loop", "error")
)
loop_seconds = _histogram(
    "playlog_loop_pass_seconds", "Seconds one pass of a background loop took.", ("loop",)
)
loop_last_pass = _gauge(
    "playlog_loop_last_pass_timestamp_seconds", "Unix time of a loop's last good pass.", ("loop",)
)

broker_connected = _gauge("playlog_broker_connected_state", "1 while connected to NATS, else 0.")
broker_connections = _counter("playlog_broker_connections_total", "Connections to NATS made.")
broker_errors = _counter(
    "playlog_broker_errors_total", "Errors that NATS or the connection to it reported.", ("error",)
)
broker_published = _counter("playlog_broker_published_messages_total", "Messages NATS acknowledged.")
broker_refused = _counter(
    "playlog_broker_refused_publishes_total", "Publishes and batches NATS refused.", ("err_code",)
)
broker_publish_seconds = _histogram(
    "playlog_broker_publish_seconds",
    "Seconds from publishing to the acknowledgement.",
    ("kind",),
)
broker_fetched = _counter("playlog_broker_fetched_messages_total", "Messages fetched.", ("consumer",))
wakes_sent = _counter("playlog_wakes_sent_total", "Wake-ups announced.", ("topic",))
wakes_dropped = _counter(
    "playlog_wakes_dropped_total", "Wake-ups not announced for want of a connection.", ("topic",)
)
wakes_heard = _counter("playlog_wakes_heard_total", "Wake-ups received.", ("topic",))

streams_open = _gauge("playlog_streams_open_count", "Event streams over HTTP that are open.")
streams_refused = _counter(
    "playlog_streams_refused_total", "Event streams refused because too many were open."
)
streams_dropped = _counter(
    "playlog_streams_dropped_total", "Event streams ended because the client was too slow.", ("route",)
)


worker_commands = _counter(
    "playlog_worker_commands_total",
    "Commands that ended: completed, failed, cancelled, lost, released.",
    ("tool", "outcome"),
)
worker_command_seconds = _histogram("playlog_worker_command_seconds", "Seconds a command ran.", ("tool",))
worker_request_seconds = _histogram(
    "playlog_worker_request_seconds", "Seconds from a worker's request to the answer.", ("route",)
)
worker_rejected_results = _counter(
    "playlog_worker_rejected_results_total", "Results the internal API refused.", ("code",)
)
worker_busy_slots = _gauge("playlog_worker_busy_slots_count", "Slots in which a command runs.")
worker_held_commands = _gauge("playlog_worker_held_commands_count", "Commands claimed and not yet settled.")
worker_heartbeat_failures = _counter(
    "playlog_worker_heartbeat_failures_total", "Heartbeats that got no answer."
)
worker_dropped_log_lines = _counter(
    "playlog_worker_dropped_log_lines_total", "Log lines given up because the queue was full."
)

due_served = _counter(
    "playlog_due_served_total", "Timers, leases and deliveries that the scheduler served.", ("kind",)
)
due_failed = _counter(
    "playlog_due_failed_total",
    "Timers, leases, deliveries and deadlines that failed and are tried again later.",
    ("kind",),
)

sweep_healed = _counter(
    "playlog_sweep_healed_total", "Executions whose snapshot the scheduler brought forward.", ("sweep",)
)

incidents_open = _gauge(
    "playlog_incidents_open",
    "Open incidents as the scheduler last counted them; docs/howto/incidents.md says what to do.",
    ("kind",),
)

partitions_ahead = _gauge(
    "playlog_partitions_ahead",
    "Partitions of the log that begin after now; fewer than two want a look at the scheduler.",
)
partitions_made = _counter("playlog_partitions_made_total", "Partitions that the scheduler made ahead.")

projector_events = _counter("playlog_projector_events_total", "Events folded into snapshots.")
projector_seconds = _histogram("playlog_projector_batch_seconds", "Seconds one batch of messages took.")
projector_lag = _gauge(
    "playlog_projector_lag_seconds", "Seconds from recording to projecting, of the newest event; 0 when idle."
)
projector_log_reads = _counter(
    "playlog_projector_log_reads_total", "Executions brought forward from the log instead of messages."
)
projector_gaps = _counter(
    "playlog_projector_gaps_total", "Executions whose message did not follow the remembered state."
)
projector_poison = _counter("playlog_projector_poison_total", "Executions that could not be folded.")
projector_unreadable = _counter(
    "playlog_projector_unreadable_messages_total", "Messages that could not be read."
)

outbox_stale = _counter(
    "playlog_outbox_stale_marks_total",
    "Messages marked published or failed over HTTP with a lease token that was another's by then.",
    ("mark",),
)

publisher_messages = _counter("playlog_publisher_messages_total", "Outbox messages published.")
publisher_duplicates = _counter(
    "playlog_publisher_duplicate_messages_total", "Outbox messages that were in the stream already."
)
publisher_events = _counter("playlog_publisher_events_total", "Events in published outbox messages.")
publisher_batch_messages = _histogram(
    "playlog_publisher_batch_messages", "Messages in an atomic batch.", buckets=_COUNTS
)
publisher_age_seconds = _histogram(
    "playlog_publisher_outbox_age_seconds",
    "Seconds that the oldest message of a pass had waited when it was published.",
    buckets=_AGES,
)
publisher_parked = _counter("playlog_publisher_parked_messages_total", "Messages set aside after a failure.")
publisher_dead = _counter("playlog_publisher_dead_messages_total", "Messages given up.")
publisher_generation = _gauge(
    "playlog_publisher_generation_count", "Generation of the message ids; each loss of the stream raises it."
)
publisher_losses = _counter(
    "playlog_publisher_stream_losses_total", "Times the stream was found to have forgotten.", ("reason",)
)
publisher_refilling = _gauge(
    "playlog_publisher_refilling_shards_count", "Shards that the last pass found being refilled."
)
publisher_refilled = _counter(
    "playlog_publisher_refilled_executions_total", "Executions published again after a loss."
)


def reference() -> str:
    """Render docs/reference/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `python -m engine.runtime.metrics`; a test compares. -->",
        "",
        "Every process serves these on `/metrics` of its health port, next to the usual `process_*` and",
        "`python_*` ones.",
        "",
        "| name | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for entry in sorted(CATALOG, key=lambda entry: entry.name):
        labels = ", ".join(f"`{label}`" for label in entry.labels)
        lines.append(f"| `{entry.name}` | {entry.kind} | {labels} | {entry.meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page is this program's output
