"""A fault seeded into the decider: deciding raises for one execution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from engine.domain.decide import decide
from engine.domain.decision import Decision, Turn
from engine.domain.execution import Due


@contextlib.contextmanager
def undecided(execution_id: int) -> Iterator[None]:
    """Inside the block nothing of this execution can be decided."""

    def broken(turn: Turn, due: Due) -> Decision:
        if turn.state.execution_id == execution_id:
            raise ZeroDivisionError("seeded")
        return decide(turn, due)

    with mock.patch("engine.domain.advance.decide", broken):
        yield
