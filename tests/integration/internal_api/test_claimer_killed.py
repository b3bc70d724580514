"""A claimer that dies after its claim delays its messages by the lease, and is refused when it comes back."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY

from tests.support.eventually import eventually
from tests.support.internal_api import Client

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
COUNTED = ("pending", "in_flight", "backlog")


def stale_marks(mark: str) -> float:
    return REGISTRY.get_sample_value("playlog_outbox_stale_marks_total", {"mark": mark}) or 0.0


async def counts(client: Client) -> list[int]:
    body = (await client.get("/outbox/pending-count")).body
    return [body[name] for name in COUNTED]


async def claim_two(client: Client, lease_seconds: int) -> dict[int, dict[str, Any]]:
    rows = (await client.post("/outbox/claim", {"lease_seconds": lease_seconds})).body["rows"]
    return {row["outbox_id"]: row for row in rows}


async def test_its_messages_are_claimable_after_the_lease_and_its_late_marks_change_nothing(
    client: Client,
) -> None:
    await client.engine.register(ONE)
    for _ in range(2):
        await client.start("t/one")
    lost = await claim_two(client, 1)
    assert len(lost) == 2
    in_flight = await counts(client)
    assert in_flight in ([0, 2, 2], [2, 0, 2])

    async def ran_out() -> None:
        assert await counts(client) == [2, 0, 2]

    await eventually(ran_out)
    held = await claim_two(client, 60)
    assert held.keys() == lost.keys()
    assert [row["attempts"] for row in held.values()] == [2, 2]
    (first, old), (second, older) = lost.items()
    before = stale_marks("published"), stale_marks("failed")
    late = {"outbox_ids": [first, second], "lease_tokens": [old["lease_token"], older["lease_token"]]}
    answer = await client.post("/outbox/mark-published", late)
    assert answer.body == {"marked": 0, "stale": [first, second]}
    failed = {"outbox_id": first, "error": "x", "lease_token": old["lease_token"]}
    answer = await client.post("/outbox/mark-failed", failed)
    assert answer.body == {"marked": False, "available_at_in": 0, "stale": True}
    assert (stale_marks("published"), stale_marks("failed")) == (before[0] + 2, before[1] + 1)
    assert await counts(client) == [0, 2, 2]
    mine = {"outbox_ids": [first, second], "lease_tokens": [row["lease_token"] for row in held.values()]}
    assert (await client.post("/outbox/mark-published", mine)).body == {"marked": 2, "stale": []}
    assert await counts(client) == [0, 0, 0]
