"""What a request weighs, and how many fit into one transaction."""

from __future__ import annotations

import asyncio

from engine.domain.events import NewEvent
from engine.write.requests import Request
from engine.write.tickets import GROUP_BYTES, GROUP_EVENTS, GROUP_REQUESTS, Group, Ticket


def ticket(payload: object = None, events: int = 1) -> Ticket:
    event = NewEvent(event_type="order.noted", status="RUNNING", payload=payload)
    return Ticket(Request(execution_id=1, events=(event,) * events), asyncio.Future())


def filled(each: Ticket) -> int:
    group = Group()
    while group.has_room(each):
        group.add(each)
    return len(group.tickets)


async def test_a_group_stays_within_its_requests_events_and_bytes() -> None:
    assert filled(ticket()) == GROUP_REQUESTS
    assert filled(ticket(events=1_000)) == GROUP_EVENTS // 1_000
    assert filled(ticket("x" * 2**20)) == GROUP_BYTES // 2**20 - 1


async def test_a_request_beyond_the_limits_goes_alone() -> None:
    assert filled(ticket(events=GROUP_EVENTS + 1)) == 1
    assert filled(ticket("x" * (GROUP_BYTES + 1))) == 1


async def test_what_is_no_json_weighs_nothing_until_the_append_refuses_it() -> None:
    assert ticket({1, 2}).size == 0
