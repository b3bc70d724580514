from collections.abc import AsyncIterator

import pytest

from tests.support.engine import Engine, running_engine


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with running_engine(database_url) as engine:
        yield engine
