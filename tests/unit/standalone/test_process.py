from __future__ import annotations

import asyncio

import pytest

from engine.runtime import settings_loading
from engine.runtime.process import STOP_ORDER, ProcessContext
from engine.runtime.settings import StandaloneProcess
from standalone.process import _part, _stop_in_order


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> ProcessContext[StandaloneProcess]:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)
    return ProcessContext(name="standalone", settings=StandaloneProcess())


async def test_nobody_is_stopped_before_those_who_need_it_have_ended(
    whole: ProcessContext[StandaloneProcess],
) -> None:
    parts = {role: _part(whole, role) for together in STOP_ORDER for role in together}
    living = set(parts)
    seen: list[tuple[str, set[str]]] = []

    async def play(role: str) -> None:
        await parts[role].stop.wait()
        await asyncio.sleep(0)
        living.discard(role)
        seen.append((role, {other for other in living if parts[other].stop.is_set()}))

    running = {role: asyncio.create_task(play(role)) for role in parts}
    stopping = asyncio.create_task(_stop_in_order(whole.stop, parts, running))
    await asyncio.sleep(0)
    assert living == set(parts)
    whole.stop.set()
    await stopping
    assert [role for role, _ in seen] == [role for together in STOP_ORDER for role in together]
    assert [stopped - {"scheduler"} for _, stopped in seen] == [set()] * len(parts)


async def test_the_whole_is_ready_when_every_part_is_and_says_whose_fault_it_is(
    whole: ProcessContext[StandaloneProcess],
) -> None:
    first, second = _part(whole, "publisher"), _part(whole, "projector")
    assert await whole.health.faults() == {"publisher": "process: starting", "projector": "process: starting"}
    first.health.loop("publish")
    failing = second.health.loop("project", max_failures=1)
    assert await whole.health.faults() == {"publisher": None, "projector": None}
    failing.failed(TimeoutError())
    faults = await whole.health.faults()
    assert faults["projector"] == "loop project: failed 1 times in a row, last with database_away"
    assert faults["publisher"] is None
