from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.internal_api import Client, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    async with serving(database_url) as client:
        yield client
