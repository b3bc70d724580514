"""The slow loop that makes partitions before they are needed."""

from __future__ import annotations

import structlog

from engine.errors import Unavailable
from engine.runtime import metrics
from engine.runtime.database import Connection, Pool, checkout, classified
from engine.write.partitions import MONTHS_AHEAD, ahead, ensure_ahead

REST_SECONDS = 3600.0
RETRY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class PartitionRole:
    """Keeps two months of partitions ahead of the current one; looks again soon while there are fewer."""

    name = "partitions"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def step(self) -> float:
        """Make what is missing."""
        async with checkout(self._pool) as connection:
            reason = await self._make(connection)
            there = await ahead(connection)
        metrics.partitions_ahead.set(there)
        if there >= MONTHS_AHEAD:
            return REST_SECONDS
        _log.warning("partitions.few", ahead=there, reason=reason)
        return RETRY_SECONDS

    async def _make(self, connection: Connection) -> str | None:
        """Returns why it could not."""
        try:
            with classified():
                made = await ensure_ahead(connection)
        except Unavailable as busy:
            return busy.detail
        if made:
            metrics.partitions_made.inc(len(made))
            _log.info("partitions.made", partitions=made)
        return None
