"""The cache keeps what was used last, within its bytes."""

from __future__ import annotations

from engine.domain.execution import Execution, initial
from engine.domain.vocabulary import ExecutionStatus
from engine.read.cache import BYTES_A_STATE, BYTES_A_STEP, StateCache


def state(execution_id: int, steps: int = 0) -> Execution:
    made = initial(execution_id, None)
    for number in range(steps):
        made.step(f"s{number}")
    made.version = 3
    return made


def test_a_state_is_handed_over_once() -> None:
    cache = StateCache()
    kept = state(1)
    cache.keep(kept)
    assert cache.version(1) == 3
    assert cache.take(1) is kept
    assert cache.take(1) is None
    assert cache.version(1) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = StateCache(byte_limit=3 * BYTES_A_STATE)
    for execution_id in (1, 2, 3):
        cache.keep(state(execution_id))
    cache.keep(state(1))
    cache.keep(state(4))
    assert [cache.version(each) for each in (1, 2, 3, 4)] == [3, 0, 3, 3]


def test_a_large_state_takes_the_room_of_many() -> None:
    cache = StateCache(byte_limit=3 * BYTES_A_STATE)
    for execution_id in (1, 2):
        cache.keep(state(execution_id))
    cache.keep(state(3, steps=2 * BYTES_A_STATE // BYTES_A_STEP))
    assert [cache.version(each) for each in (1, 2, 3)] == [0, 0, 3]
    cache.take(3)
    for execution_id in (4, 5, 6):
        cache.keep(state(execution_id))
    assert len(cache) == 3


def test_ended_executions_are_forgotten() -> None:
    cache = StateCache()
    ended = state(1)
    cache.keep(ended)
    ended.phase = ExecutionStatus.COMPLETED
    cache.keep(ended)
    assert len(cache) == 0


def test_everything_can_be_forgotten() -> None:
    cache = StateCache(byte_limit=BYTES_A_STATE)
    cache.keep(state(1))
    cache.clear()
    cache.keep(state(2))
    assert (cache.version(1), cache.version(2)) == (0, 3)
