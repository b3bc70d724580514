"""A piece of work that may be struck by a crash, and how its caller goes on then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.support.mortal import Life
from tests.support.town import Town

MOST_TRIES = 200


@dataclass(frozen=True, slots=True)
class Act:
    """A call on a process that is repeated until it is answered, and then until `done`, if it is a role's."""

    life: Life[Any]
    call: Callable[[Any], Awaitable[object]]
    done: Callable[[], Awaitable[bool]] | None = None

    async def complete(self, town: Town) -> None:
        """Carry it out as its caller would, whatever breaks on the way."""
        for _ in range(MOST_TRIES):
            await self.life.insist(self.call)
            await town.look()
            if self.done is None or await self.done():
                return
        raise AssertionError("it never comes to rest")


@dataclass(frozen=True, slots=True)
class Kind:
    """`ready` makes fresh work; the run without a fault makes at least `calls` calls."""

    ready: Callable[[Town], Awaitable[Act]]
    calls: int
