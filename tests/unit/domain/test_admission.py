"""What may enter a stream: late results, cancels, foreign types, the engine's own types."""

from engine.domain.admit import Origin, Verdict, admit, admit_foreign
from engine.domain.events import NewEvent
from engine.domain.vocabulary import EventType
from tests.support.play import given

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"


def completed(command_id: int | None, token: int = 1) -> NewEvent:
    return NewEvent(
        event_type="command.completed", status="COMPLETED", command_id=command_id, lease_token=token
    )


def test_a_result_with_another_token_is_a_stale_lease() -> None:
    play = given(ONE)
    command_id = play.open_command("a").command_id
    fact = play.fact(command_id)
    answer = admit(play.state, completed(command_id, 2), Origin.OUTSIDE, play.now, fact)
    assert answer.code == "stale_lease"


def test_a_result_of_a_command_nobody_issued_is_unknown() -> None:
    play = given(ONE)
    assert admit(play.state, completed(99), Origin.OUTSIDE, play.now).code == "unknown_command"


def test_a_result_after_the_end_is_recorded_as_late_and_changes_nothing() -> None:
    play = given(ONE)
    command_id = play.open_command("a").command_id
    play.cancel("enough")
    before = (play.state.phase, dict(play.state.steps))
    late = admit(play.state, completed(command_id), Origin.OUTSIDE, play.now, play.fact(command_id))
    assert late.verdict is Verdict.LATE
    assert play.enter(late) == ["command.late"]
    assert (play.state.phase, play.state.steps) == before
    play.check_replay()


def test_what_was_encoded_for_another_payload_is_not_kept() -> None:
    play = given(ONE)
    command_id = play.open_command("a").command_id
    sent = completed(command_id)._replace(payload={"data": 1}, encoded=b'{"data":1}')
    in_time = admit(play.state, sent, Origin.OUTSIDE, play.now, play.fact(command_id)).event
    play.cancel("enough")
    late = admit(play.state, sent, Origin.OUTSIDE, play.now, play.fact(command_id)).event
    assert in_time is not None
    assert in_time.encoded == b'{"data":1}'
    assert late is not None
    assert late.encoded is None
    assert late.payload != sent.payload


def test_cancel_ends_at_once_and_repeated_changes_nothing() -> None:
    play = given(ONE)
    assert play.cancel("enough") == ["execution.cancelled"]
    assert play.state.reason == "enough"
    assert play.open_steps == []
    assert play.admit(EventType.EXECUTION_CANCELLED, {"reason": None}).verdict is Verdict.UNCHANGED


def test_cancel_of_another_end_is_refused() -> None:
    play = given(ONE)
    play.complete("a")
    refused = play.admit(EventType.EXECUTION_CANCELLED, {"reason": None})
    assert (refused.verdict, refused.code) == (Verdict.REJECTED, "terminal_execution")


def test_outsiders_may_not_write_the_engines_own_types_nor_reserved_ones() -> None:
    play = given(ONE)
    for name in (
        "execution.completed",
        "step.completed",
        "timer.fired",
        "incident.opened",
        "execution.forked",
    ):
        event = NewEvent(event_type=name, status="RUNNING")
        assert admit(play.state, event, Origin.OUTSIDE, play.now).code == "not_allowed", name


def test_foreign_types_are_stored_on_a_running_execution_and_refused_after_its_end() -> None:
    play = given(ONE)
    note = NewEvent(event_type="order.noted", status="RUNNING")
    assert play.enter(admit(play.state, note, Origin.OUTSIDE, play.now)) == ["order.noted"]
    play.complete("a")
    assert admit(play.state, note, Origin.OUTSIDE, play.now).code == "terminal_execution"


def test_a_foreign_execution_takes_everything_and_ends_by_its_own_words() -> None:
    event = NewEvent(event_type="execution.completed", status="COMPLETED", event_id=1)
    assert admit_foreign(event, Origin.OUTSIDE).verdict is Verdict.RECORDED


def test_a_result_of_a_command_does_not_enter_another_systems_execution() -> None:
    result = NewEvent(event_type="command.completed", status="COMPLETED", command_id=9, lease_token=1)
    assert admit_foreign(result, Origin.OUTSIDE).code == "unknown_command"


def test_signals_and_cancels_of_ours_do_not_enter_another_systems_execution() -> None:
    for name in ("signal.received", "execution.cancelled"):
        event = NewEvent(event_type=name, status="RUNNING", payload={})
        assert admit_foreign(event, Origin.ENGINE).code == "not_allowed"
