"""A writer's cache keeps to its bytes, however large the states are."""

from __future__ import annotations

from engine.domain.execution import Execution, Pointer
from engine.write.cache import BYTES_A_SIGNAL, BYTES_A_STATE, BYTES_A_STEP, Cache, Remembered


def remembered(execution_id: int, steps: int) -> Remembered:
    state = Execution(execution_id=execution_id)
    for number in range(steps):
        state.step(f"s{number}")
    return Remembered(state)


def test_a_state_weighs_as_much_as_its_steps() -> None:
    cache = Cache(byte_limit=10 * (BYTES_A_STATE + BYTES_A_STEP))
    for execution_id in range(1, 11):
        cache.keep(remembered(execution_id, 1), {})
    cache.keep(remembered(11, 20), {})
    known = [execution_id for execution_id in range(1, 12) if cache.take(execution_id) is not None]
    assert known == [6, 7, 8, 9, 10, 11]


def test_a_state_weighs_as_much_as_the_signals_it_keeps() -> None:
    state = Execution(execution_id=1, mailbox={"go": [Pointer(1, 1)] * 500, "on": [Pointer(2, 1)] * 500})
    assert Remembered(state).weight == BYTES_A_STATE + 1_000 * BYTES_A_SIGNAL


def test_what_is_kept_again_with_its_sizes_keeps_its_values() -> None:
    first = Remembered(Execution(execution_id=1), {1: "a", 2: "b"})
    first.trim({1: 3, 2: 10**6})
    again = Remembered(first.state, {**first.values, 3: "c"}, first.sizes)
    again.trim({3: 3})
    assert again.values == {1: "a", 3: "c"}
