"""The law of every decided state: until it has ended, it waits for something that somebody moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.domain.waiting import waits_for

if TYPE_CHECKING:
    from engine.domain.execution import Execution


def check_waits(state: Execution) -> None:
    waits = waits_for(state)
    assert bool(waits) != state.is_ended or state.version == 0, state
    assert all(wait.owner and wait.since is not None for wait in waits), waits
    assert len({(wait.step, wait.undoing) for wait in waits}) == len(waits), waits
