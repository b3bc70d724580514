"""What follows a COMMIT: wakes that are merged, and a bounded queue of messages to carry."""

from __future__ import annotations

from engine.write.after_commit import COMMANDS_TOPIC, DELIVERIES_KEPT, OUTBOX_TOPIC, AfterCommit
from engine.write.requests import Committed, Delivery
from tests.support.eventually import eventually


async def test_the_first_wake_goes_out_at_once_and_the_rest_are_merged_into_one() -> None:
    sent: list[tuple[str, bytes]] = []
    after = AfterCommit(lambda topic, body: sent.append((topic, body)))
    for count in (1, 2, 3):
        after(Committed(pools={"gpu": count}, shards={count}))
    first = [(OUTBOX_TOPIC, b""), (COMMANDS_TOPIC, b'{"gpu":1}')]
    assert sent == first

    def merged() -> None:
        assert sent == [*first, (OUTBOX_TOPIC, b""), (COMMANDS_TOPIC, b'{"gpu":5}')]

    await eventually(merged)
    after.close()
    assert len(sent) == 4


async def test_closing_sends_what_is_pending() -> None:
    sent: list[str] = []
    after = AfterCommit(lambda topic, _: sent.append(topic))
    after(Committed(shards={1}))
    after(Committed(pools={"gpu": 1}))
    after.close()
    assert sent == [OUTBOX_TOPIC, COMMANDS_TOPIC]


async def test_more_messages_than_are_kept_leave_the_oldest_to_the_scheduler() -> None:
    after = AfterCommit(lambda *_: None)
    many = [Delivery(number, 1, "cancel", number, {}) for number in range(DELIVERIES_KEPT + 5)]
    after(Committed(deliveries=many))
    assert after.delivery_wake.is_set()
    assert (len(after.deliveries), after.deliveries[0].delivery_id) == (DELIVERIES_KEPT, 5)
