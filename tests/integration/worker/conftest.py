"""Fixtures of the worker's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import internal_api_stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def stub() -> AsyncIterator[internal_api_stub.InternalApiStub]:
    """The internal API's contract in memory."""
    async with internal_api_stub.serving() as stub:
        yield stub
