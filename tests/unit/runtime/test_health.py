from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from engine.errors import Unavailable
from engine.runtime.health import Health, serve_health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def fine() -> str | None:
    return None


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    server = await serve_health(health, "127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session
    await server.close()


async def test_a_process_whose_checks_are_fine_is_ready(
    health: Health, client: aiohttp.ClientSession
) -> None:
    health.add("database", fine)
    health.loop("publisher")
    async with client.get("/readyz") as response:
        assert response.status == 200
        assert await response.json() == {
            "ready": True,
            "checks": {"database": {"ok": True}, "loop publisher": {"ok": True}},
        }


async def test_each_fault_is_named_with_its_reason(health: Health, client: aiohttp.ClientSession) -> None:
    async def not_migrated() -> str | None:
        return "to be applied: 0007"

    async def away() -> str | None:
        raise ConnectionRefusedError

    async def broken() -> str | None:
        raise Unavailable(code="storage_full")

    health.add("fine", fine)
    health.add("migrations", not_migrated)
    health.add("database", away)
    health.add("disk", broken)
    progress = health.loop("publisher", max_failures=2)
    progress.failed(Unavailable(code="broker_away"))
    progress.failed(Unavailable(code="broker_away"))
    async with client.get("/readyz") as response:
        assert response.status == 503
        checks = (await response.json())["checks"]
    assert checks == {
        "fine": {"ok": True},
        "migrations": {"ok": False, "why": "to be applied: 0007"},
        "database": {"ok": False, "why": "database_away"},
        "disk": {"ok": False, "why": "storage_full"},
        "loop publisher": {"ok": False, "why": "failed 2 times in a row, last with broker_away"},
    }


async def test_a_check_that_hangs_is_a_fault_after_its_time(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging() -> str | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr("engine.runtime.health._CHECK_SECONDS", 0.01)
    health.add("hanging", hanging)
    assert (await health.faults())["hanging"] is not None


async def test_a_process_that_is_still_starting_is_not_ready(client: aiohttp.ClientSession) -> None:
    async with client.get("/readyz") as response:
        assert response.status == 503
        assert (await response.json())["checks"] == {"process": {"ok": False, "why": "starting"}}


async def test_liveness_and_metrics_answer(client: aiohttp.ClientSession) -> None:
    for path in ("/livez", "/healthz"):
        async with client.get(path) as response:
            assert response.status == 200
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        assert "playlog_loop_passes_total" in await response.text()
