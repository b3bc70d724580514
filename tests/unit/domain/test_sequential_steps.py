"""Steps one after another: three events each, values passed on, the output at the end."""

from tests.support.play import given

TWO = """
playbook: t/two
inputs: {name: {type: string}}
steps:
  - {name: first, tool: noop, with: {to: "${ inputs.name }"}}
  - {name: second, tool: noop, with: {from: "${ steps.first.output.id }"}}
output: "${ {'id': steps.first.output.id, 'second': steps.second.status} }"
"""


def test_a_step_records_command_issued_command_completed_step_completed() -> None:
    play = given(TWO, name="ada")
    assert play.types == ["execution.started", "command.issued"]
    assert play.complete("first", {"id": 7}) == ["command.completed", "step.completed", "command.issued"]
    assert play.complete("second") == ["command.completed", "step.completed", "execution.completed"]
    play.check_replay()


def test_inputs_and_outputs_reach_the_next_steps_with_their_json_type() -> None:
    play = given(TWO, name="ada")
    play.complete("first", {"id": 7})
    assert [command.input for command in play.commands] == [b'{"to":"ada"}', b'{"from":7}']
    play.complete("second")
    assert play.output == {"id": 7, "second": "completed"}


def test_a_missing_key_fails_the_step_with_its_path_and_is_not_retried() -> None:
    play = given(TWO, name="ada")
    assert play.complete("first", {"no": 1})[-2:] == ["step.failed", "execution.failed"]
    assert play.error["code"] == "expression_error"
    assert play.error["step"] == "second"
    assert "steps.first.output.id" in str(play.error["message"])
    play.check_replay()


def test_an_error_in_the_output_fails_the_execution_with_output_error() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}], output: '${ steps.a.output.x }'}")
    assert play.complete("a", {})[-1] == "execution.failed"
    assert play.error["code"] == "output_error"


def test_the_issued_command_records_hash_and_bytes_of_its_input_but_not_the_input() -> None:
    play = given(TWO, name="secret-name")
    payload = play.log[1].payload
    assert isinstance(payload, dict)
    assert payload["input_bytes"] == len(b'{"to":"secret-name"}')
    assert "secret-name" not in str(payload)


def test_an_input_beyond_the_limit_fails_the_step() -> None:
    source = """
playbook: t/x
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop, with: {x: "${ steps.a.output }", y: "${ steps.a.output }"}}
"""
    play = given(source)
    play.complete("a", "x" * 200_000)
    assert play.error["code"] == "value_too_large"
