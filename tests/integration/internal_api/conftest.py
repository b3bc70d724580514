from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import servers
from tests.support.internal_api import Client, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.runtime.embedded import EmbeddedPostgres


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    async with serving(database_url) as client:
        yield client


@pytest.fixture(scope="module")
async def shared(postgres_server: EmbeddedPostgres, template_database: str) -> AsyncIterator[Client]:
    """One API and database for a whole table of cases, none of which may leave anything that another sees."""
    async with servers.fresh_database(postgres_server, template_database) as url, serving(url) as client:
        yield client
