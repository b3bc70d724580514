"""Requests on their way into a transaction: each with its waiting caller, together within limits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from engine.errors import Unavailable, UnknownOutcome
from engine.write.requests import Outcome, Request

GROUP_REQUESTS = 256
GROUP_EVENTS = 5_000
GROUP_BYTES = 4 * 1024 * 1024
RETRY_AFTER_SECONDS = 1


@dataclass(slots=True)
class Ticket:
    """A queued request, the future its caller waits on, and the bytes of its payloads.

    `in_doubt` from when a COMMIT with this request was sent whose answer never came.
    """

    request: Request
    answer: asyncio.Future[Outcome]
    size: int = field(init=False)
    in_doubt: bool = False

    def __post_init__(self) -> None:
        self.size = self.request.payload_bytes

    @property
    def keys(self) -> set[tuple[str, str]]:
        """The keys it claims: no two tickets of a group may have the same."""
        return {(key.scope, key.key) for key in self.request.keys}

    def fail(self, error: Exception) -> None:
        """Answer with an error; where the request may be committed all the same, it must say so."""
        if self.answer.done():
            return
        if self.in_doubt and isinstance(error, Unavailable):
            doubt = UnknownOutcome(retry_after=RETRY_AFTER_SECONDS)
            doubt.__cause__ = error
            error = doubt
        self.answer.set_exception(error)


@dataclass(slots=True)
class Group:
    """Tickets for one transaction, within the limits on requests, events, and bytes of payloads."""

    tickets: list[Ticket] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)
    events: int = 0
    size: int = 0

    def has_room(self, ticket: Ticket) -> bool:
        """Whether the group stays within its limits; the first ticket always fits."""
        return not self.tickets or (
            len(self.tickets) < GROUP_REQUESTS
            and self.events + len(ticket.request.events) <= GROUP_EVENTS
            and self.size + ticket.size <= GROUP_BYTES
        )

    def add(self, ticket: Ticket) -> None:
        """Take a ticket."""
        self.tickets.append(ticket)
        self.keys |= ticket.keys
        self.events += len(ticket.request.events)
        self.size += ticket.size
