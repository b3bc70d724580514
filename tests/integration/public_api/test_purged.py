"""Readers of a purged execution are told that it is gone, from the moment its events are."""

from __future__ import annotations

import pytest

from engine.write import retention
from engine.write.partitions import leaves
from tests.support.public_api import WAITING, PublicApi
from tests.support.retention import purged, this_month

MONTH = this_month()


@pytest.mark.parametrize("whole", [False, True], ids=["only emptied", "gone"])
async def test_every_way_to_read_a_purged_execution_answers_410(api: PublicApi, whole: object) -> None:
    await api.register(WAITING)
    gone = await api.start("tests/deep/waiting", key="mine")
    await api.post(f"/executions/{gone}/cancel", {})
    await api.project(gone)
    await api.connection.execute("delete from playlog.outbox")
    assert (await api.get(f"/executions/{gone}")).status == 200
    if whole:
        assert (await purged(api.connection, MONTH)).events_purged == 1
    else:
        found = (await leaves(api.connection))["event"]
        (leaf,) = [each for each in found if each.name == MONTH.leaf]
        assert await retention._give_up(api.connection, leaf, MONTH.over) == []
    for path in ("", "/events", "/steps", "/wait", "?min_version=1", "/stream", "/logs", "/logs?follow"):
        answer = await api.get(f"/executions/{gone}{path}")
        assert (answer.status, answer.json["code"]) == (410, "purged"), path
    answer = await api.post(f"/executions/{gone}/retry")
    assert (answer.status, answer.json["code"]) == (410, "purged")
    if whole:
        for path in ("/cancel", "/pause", "/resume", "/signals/answer"):
            answer = await api.post(f"/executions/{gone}{path}", {})
            assert (answer.status, answer.json["code"]) == (410, "purged"), path
        assert (await api.get("/executions/by-key/mine")).status == 404
    assert (await api.get(f"/executions/{MONTH.next.id(1)}")).status == 404
