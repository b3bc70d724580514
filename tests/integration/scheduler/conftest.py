from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.support.engine import Engine, running_engine


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with running_engine(database_url) as engine:
        yield engine


@pytest.fixture(autouse=True)
def short_tracebacks() -> Iterator[None]:
    """What fails on purpose is logged in a few lines: the usual frames take seconds."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[renderer])
    yield
    structlog.reset_defaults()
