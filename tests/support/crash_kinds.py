"""Every kind of work that is struck by crashes, with the least number of calls that it makes."""

from __future__ import annotations

from tests.support import crash_appending as appending
from tests.support import crash_publishing as publishing
from tests.support import crash_purging as purging
from tests.support.acts import Kind

KINDS: dict[str, Kind] = {
    "register": Kind(appending.register, 6),
    "start": Kind(appending.start, 7),
    "append of a foreign batch": Kind(appending.project_events, 8),
    "append of native events": Kind(appending.materialize, 6),
    "signal": Kind(appending.signal, 5),
    "cancel": Kind(appending.cancel, 6),
    "claim": Kind(appending.claim, 1),
    "heartbeat": Kind(appending.heartbeat, 6),
    "release": Kind(appending.release, 1),
    "settle": Kind(appending.settle, 7),
    "settle what is stored": Kind(appending.settle_stored, 8),
    "timers": Kind(appending.timers, 7),
    "expired leases": Kind(appending.leases, 7),
    "deliveries": Kind(appending.deliveries, 7),
    "deliveries of the dead": Kind(appending.late_deliveries, 20),
    "deadlines": Kind(appending.deadlines, 6),
    "publish": Kind(publishing.publish, 6),
    "first publish": Kind(publishing.first_publish, 16),
    "refill": Kind(publishing.refill, 40),
    "project": Kind(publishing.project, 3),
    "first project": Kind(publishing.first_project, 6),
    "sweep": Kind(publishing.sweep, 7),
    "outbox claim": Kind(publishing.outbox_claim, 4),
    "mark published": Kind(publishing.mark_published, 3),
    "mark failed": Kind(publishing.mark_failed, 2),
    "purge": Kind(purging.rows, 3),
    "purge of a month": Kind(purging.month, 30),
}
