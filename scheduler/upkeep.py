"""The slow loop that makes partitions before they are needed."""

from __future__ import annotations

import structlog

from engine.runtime.database import Pool, checkout
from engine.write.partitions import ensure_ahead

REST_SECONDS = 3600.0

_log = structlog.get_logger(__name__)


class PartitionRole:
    """Keeps two months of partitions ahead of the current one."""

    name = "partitions"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def step(self) -> float:
        """Make what is missing."""
        async with checkout(self._pool) as connection:
            made = await ensure_ahead(connection)
        if made:
            _log.info("partitions.made", partitions=made)
        return REST_SECONDS
