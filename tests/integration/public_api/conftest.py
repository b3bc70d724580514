from collections.abc import AsyncIterator

import pytest

from tests.support.public_api import ONE_STEP, WAITING, PublicApi, running_public_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[PublicApi]:
    """A public API with two playbooks registered."""
    async with running_public_api(database_url) as api:
        for source in (ONE_STEP, WAITING):
            assert (await api.register(source)).status == 201
        yield api
