from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from worker.commands import Command, Held, failed, read_command

ROW: dict[str, object] = {
    "command_id": "5",
    "lease_token": "t",
    "execution_id": 7,
    "step": "s",
    "tool": "noop",
}


def _command(**more: object) -> Command:
    return read_command(ROW | more, 100.0)


def test_the_limit_is_the_given_seconds_else_the_time_to_the_deadline_else_an_hour() -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    assert _command(timeout_seconds=2.5, deadline=deadline).expires_at == 102.5
    assert 129 < _command(deadline=deadline.replace("+00:00", "Z")).expires_at <= 130
    assert _command().expires_at == 3700.0


@pytest.mark.parametrize(
    "change",
    [
        {"command_id": None},
        {"lease_token": 1.5},
        {"tool": None},
        {"attempt": "x"},
        {"deadline": "soon"},
        {"handles": [1]},
    ],
)
def test_a_malformed_row_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        _command(**change)


def test_an_error_that_is_not_json_keeps_its_code_and_message() -> None:
    error: dict[str, object] = {"code": "c", "message": "m\ud800", "details": {1, 2}}
    body = orjson.loads(orjson.dumps(failed(_command(), error, "now").body))
    assert body["error"] == {"code": "c", "message": "m?"}


def test_held_commands_are_those_added_and_not_removed() -> None:
    held = Held()
    one, two = _command(), _command(command_id=6)
    held.add(one)
    held.add(two)
    held.remove(one)
    held.remove(one)
    assert [command.key for command in held.snapshot()] == ["6"]
    assert len(held) == 1


def test_a_command_claimed_again_stays_held_when_its_release_is_answered() -> None:
    held = Held()
    released, again = _command(lease_token="t1"), _command(lease_token="t2")
    held.add(released)
    held.add(again)
    held.remove(released)
    assert held.snapshot() == [again]
