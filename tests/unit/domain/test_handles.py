"""Outputs kept as payloads: passed on unread, read where an expression asks, refused when too large."""

from __future__ import annotations

import orjson
import pytest

from engine.domain.admit import Origin, Verdict, admit
from engine.domain.attempts import MAX_FETCHED_BYTES
from engine.domain.events import NewEvent
from engine.domain.execution import initial
from engine.domain.handles import MOST_READ_BYTES, PayloadKey, parse_uri
from engine.domain.snapshot import encode
from engine.domain.vocabulary import EventType
from tests.support.play import EXECUTION_ID, Play, given

LARGE = {"rows": [1, 2, 3]}
URI = PayloadKey(EXECUTION_ID, bytes(32)).uri
REFERENCE = {"kind": "ref", "uri": URI, "bytes": 70_000}


def playing(step: str, output: str = "1") -> Play:
    return given(f"""
playbook: t/large
steps:
  - {{name: big, tool: noop}}
  - {step}
output: "${{ {output} }}"
""")


def test_a_whole_output_is_passed_on_as_a_reference_with_its_place_and_never_read() -> None:
    play = playing("{name: use, tool: noop, with: {deep: [1, {x: '${ steps.big.output }'}], y: 2}}")
    play.complete_large("big", LARGE, 5 * 2**20)
    (command,) = [command for command in play.commands if command.step == "use"]
    assert command.handles == b'[["deep",1,"x"]]'
    asked = orjson.loads(command.input)
    assert asked["deep"][1]["x"]["reference"]["bytes"] == 5 * 2**20
    assert asked["y"] == 2
    assert play.read == []
    play.check_replay()


@pytest.mark.parametrize(
    "expression",
    [
        "true ? steps.big.output : null",
        "[steps.big.output][0] == null ? steps.big.output : steps.big.output",
        "{'a': [steps.big.output]}",
    ],
)
def test_a_choice_and_a_literal_pass_it_on_as_well(expression: str) -> None:
    play = playing(f'{{name: use, tool: noop, with: {{x: "${{ {expression} }}"}}}}')
    play.complete_large("big", LARGE)
    assert play.commands[-1].handles is not None
    assert orjson.loads(play.commands[-1].input)["x"] != LARGE


def test_a_part_is_read_as_if_the_whole_stood_in_the_log_and_loaded_once() -> None:
    play = playing(
        "{name: use, when: 'size(steps.big.output.rows) == 3', tool: noop, with: {x: '${ 1 + 1 }'}}"
    )
    play.complete_large("big", LARGE, MOST_READ_BYTES)
    assert play.open_steps == ["use"]
    assert play.read == list(play.payloads)
    play.check_replay()


@pytest.mark.parametrize(
    "step",
    [
        "{name: use, when: 'size(steps.big.output) == 3', tool: noop}",
        "{name: use, tool: noop, retry: {max_attempts: 3}, with: {x: '${ steps.big.output.rows }'}}",
        "{name: use, tool: noop, with: {x: '${ steps.big.output == null }'}}",
        "{name: use, tool: playbook, with: {playbook: t/x, inputs: {x: '${ steps.big.output }'}}}",
    ],
)
def test_reading_more_than_256_kib_fails_the_step_with_the_name_and_size_of_the_value(step: str) -> None:
    play = playing(step)
    play.complete_large("big", LARGE, MOST_READ_BYTES + 1)
    assert play.error["code"] == "value_too_large"
    assert play.error["step"] == "use"
    assert "steps.big.output has 262145 bytes" in str(play.error["message"])
    assert play.read == []
    play.check_replay()


def test_the_payloads_of_one_input_have_a_limit_together() -> None:
    inputs = ", ".join(f"x{place}: '${{ steps.big.output }}'" for place in range(4))
    play = playing(f"{{name: use, tool: noop, with: {{{inputs}}}}}")
    play.complete_large("big", LARGE, MAX_FETCHED_BYTES // 4 + 1)
    assert play.error["code"] == "value_too_large"


def test_data_that_looks_like_a_reference_is_data() -> None:
    play = playing(
        "{name: use, tool: noop, with: {x: '${ steps.big.output }'}}", "steps.big.output.reference.uri"
    )
    play.complete("big", {"reference": REFERENCE})
    assert play.commands[-1].handles is None
    play.complete("use")
    assert play.output == URI


def test_a_child_gets_the_value_itself() -> None:
    play = playing("{name: use, tool: playbook, with: {playbook: t/x, inputs: {x: '${ steps.big.output }'}}}")
    play.complete_large("big", LARGE)
    (start,) = [effect for effect in play.effects if getattr(effect, "kind", "") == "start"]
    assert start.payload["inputs"] == {"x": LARGE}  # type: ignore[union-attr]


def test_an_output_of_references_says_where_they_are_and_a_parent_passes_them_on() -> None:
    child = playing("{name: use, tool: noop}", "{'whole': steps.big.output, 'few': 1}")
    child.complete_large("big", LARGE, 2**20)
    child.complete("use")
    ended = child.log[-1].payload
    assert isinstance(ended, dict)
    assert ended["handles"] == [["whole"]]
    parent = given("""
playbook: t/parent
steps:
  - {name: sub, tool: playbook, with: {playbook: t/large}}
  - {name: use, tool: noop, with: {x: "${ steps.sub.output }", n: "${ steps.sub.output.few }"}}
  - {name: no, tool: noop, with: {x: "${ steps.sub.output.whole.rows }"}}
""")
    said = {"execution_id": str(parent.state.steps["sub"].child_id), "step": "sub", "status": "completed"}
    parent.send(EventType.CHILD_COMPLETED, orjson.loads(orjson.dumps({**said, **ended})), step="sub")
    assert parent.commands[-1].handles == b'[["x","whole"]]'
    assert orjson.loads(parent.commands[-1].input)["n"] == 1
    parent.complete("use")
    assert "steps.sub.output.whole has 1048576 bytes" in str(parent.error["message"])
    parent.check_replay()


def test_the_fold_does_not_depend_on_what_a_payload_holds() -> None:
    step = "{name: use, tool: noop, with: {x: '${ steps.big.output.rows }'}}"
    plays = [playing(step), playing(step)]
    for play, rows in zip(plays, ([1], [2] * 9), strict=True):
        play.payloads[URI] = {"rows": rows}
        command = play.open_command("big")
        said = {"status": "COMPLETED", "reference": REFERENCE}
        play.send(EventType.COMMAND_COMPLETED, said, command_id=command.command_id, lease_token=1)
    one, other = plays
    assert one.commands[-1].input != other.commands[-1].input
    assert encode(one.state) == encode(other.state)
    for play in plays:
        play.check_replay()


@pytest.mark.parametrize(("size", "code"), [({}, "unknown_payload"), ({"bytes": 9}, "")])
def test_a_reference_without_a_size_was_not_found_and_is_rejected_in_every_stream(
    size: dict[str, int], code: str
) -> None:
    reference = {"kind": "ref", "uri": URI, **size}
    event = NewEvent(
        event_type="seen", status="RUNNING", payload={"status": "RUNNING", "reference": reference}
    )
    play = playing("{name: use, tool: noop}")
    for state in (play.state, initial(7, None)):
        verdict = admit(state, event, Origin.OUTSIDE, play.now)
        assert verdict.verdict is (Verdict.REJECTED if code else Verdict.RECORDED)
        assert verdict.code == code


def test_references_to_other_stores_are_nobodys_business_here() -> None:
    payload = {"status": "RUNNING", "reference": {"kind": "ref", "uri": "s3://bucket/key"}}
    event = NewEvent(event_type="seen", status="RUNNING", payload=payload)
    play = playing("{name: use, tool: noop}")
    assert admit(play.state, event, Origin.OUTSIDE, play.now).verdict is Verdict.RECORDED


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "payload:0/" + "a" * 64,
            "payload:01/" + "a" * 64,
            "payload:1/" + "A" * 64,
            "payload:1/" + "a" * 63,
        ),
        *("payload:1/" + "g" * 64, "payload:1/" + "a" * 64 + "\n", "Payload:1/" + "a" * 64, "", 7, None),
    ],
)
def test_only_the_exact_form_is_an_address(uri: object) -> None:
    assert parse_uri(uri) is None
