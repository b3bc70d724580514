"""Native events are read in one way: statuses, envelopes, ids, times; what cannot be stored has a code."""

from __future__ import annotations

import reprlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from engine.domain.ids import settled_event_id
from engine.domain.json_values import VALUE_BYTES, VALUE_DEPTH, Unstorable, are_finite, check_value
from engine.domain.normalize import (
    IdempotentPlace,
    envelope,
    error_of,
    normalize,
    status_of,
    time_of,
)
from engine.domain.rowshape import normalize_row

NOW = "2026-01-02T03:04:05Z"
SETTLING = {"event_type": "command.completed", "command_id": "8", "lease_token": 9}


def raw(**more: object) -> dict[str, Any]:
    return {"execution_id": 7, "event_type": "custom.note", "step": "a", **more}


def event(**more: object) -> Any:
    return normalize(raw(**more)).event


def code_of(fields: object) -> str:
    with pytest.raises(Unstorable) as refused:
        normalize(fields)
    return refused.value.code


@pytest.mark.parametrize(
    ("given", "event_type", "status"),
    [
        (None, "command.issued", "PENDING"),
        (None, "step.skipped", "SKIPPED"),
        (None, "execution.timed_out", "TIMED_OUT"),
        (None, "task_done", "COMPLETED"),
        (None, "step.exit", "COMPLETED"),
        (None, "Playbook.Completed", "COMPLETED"),
        (None, "action_error", "FAILED"),
        (None, "playbook.failed", "FAILED"),
        (None, "step.enter", "RUNNING"),
        ("", "step.enter", "RUNNING"),
        ("success", "step.enter", "COMPLETED"),
        ("Success", "action_error", "COMPLETED"),
        ("running", "playbook.failed", "RUNNING"),
        ("in.progress-2", "x", "IN.PROGRESS-2"),
    ],
)
def test_the_status_is_the_given_one_or_follows_from_the_type(
    given: str | None, event_type: str, status: str
) -> None:
    assert status_of(given, event_type) == status


@pytest.mark.parametrize("payload", [None, 0, 1.5, True, "text", [], [1], {}, {"a": 1}, {"status": "X"}])
def test_a_payload_keeps_its_type_inside_the_envelope(payload: object) -> None:
    assert event(payload=payload).payload == {"status": "RUNNING", "data": payload}


@pytest.mark.parametrize(
    "payload",
    [{"status": "ok", "data": 1}, {"status": "ok", "reference": {}}, {"status": "ok", "data": None}],
)
def test_what_is_an_envelope_stays_as_it_is(payload: dict[str, object]) -> None:
    assert event(payload=payload).payload is payload


@pytest.mark.parametrize("payload", [{"status": 1, "data": 1}, {"status": "ok", "data": 1, "more": 2}])
def test_what_only_looks_like_an_envelope_is_wrapped(payload: object) -> None:
    assert envelope("DONE", payload) == {"status": "DONE", "data": payload}


def test_references_are_kept_beside_the_data() -> None:
    assert event(result_kind="ref", result_uri="s3://x").payload == {
        "status": "RUNNING",
        "reference": {"kind": "ref", "uri": "s3://x"},
    }
    assert event(result_kind="refs", event_ids=[1, "2"], payload=3).payload == {
        "status": "RUNNING",
        "reference": {"kind": "refs", "event_ids": ["1", "2"]},
        "data": 3,
    }


@pytest.mark.parametrize(
    ("payload", "data"),
    [({"rows": 3}, {"rows": 3}), ({"status": "success", "data": 5}, 5), (None, None), ("x", "x")],
)
def test_a_settling_event_has_the_payload_that_settling_gives(payload: object, data: object) -> None:
    settled = event(**SETTLING, payload=payload, status="whatever")
    assert settled.payload == {"status": "COMPLETED", "data": data}
    assert (settled.status, settled.command_id, settled.lease_token) == ("COMPLETED", 8, 9)
    assert settled.event_id == settled_event_id(8)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"code": "x", "message": "y", "status": 3}, {"code": "x", "message": "y", "status": 3}),
        ({"message": 5}, {"code": "error", "message": ""}),
        ("boom", {"code": "error", "message": "boom"}),
        (None, {"code": "error", "message": ""}),
        ([1], {"code": "error", "message": "", "details": [1]}),
    ],
)
def test_an_error_always_has_code_and_message(value: object, error: dict[str, object]) -> None:
    assert error_of(value) == error
    failed = event(**{**SETTLING, "event_type": "command.failed"}, payload=value)
    assert failed.payload == {"status": "FAILED", "data": error}


def test_the_aliases_are_read_where_the_real_names_lack() -> None:
    assert normalize({"execution_id": 7, "name": "n", "step": "", "context": 1}).event.payload == {
        "status": "RUNNING",
        "data": 1,
    }
    both = event(name="n", payload=2, context=1)
    assert (both.event_type, both.payload["data"]) == ("custom.note", 2)
    assert (both.meta["name"], both.meta["context"]) == ("n", 1)


def test_meta_gains_flags_worker_and_whatever_is_not_of_the_contract() -> None:
    assert event(meta={"a": 1}, worker_id="w", informative=False, extra=[2]).meta == {
        "a": 1,
        "extra": [2],
        "actionable": True,
        "informative": False,
        "worker_id": "w",
    }


def test_an_id_is_given_or_derived_or_lacks() -> None:
    assert event(event_id="12").event_id == 12
    assert event().event_id is None
    derived = event(created_at=NOW).event_id
    assert derived == event(created_at="2026-01-02T04:04:05+01:00", meta={"a": 1}).event_id
    others = [
        event(created_at=NOW, payload=1).event_id,
        event(created_at=NOW, attempt=2).event_id,
        event(created_at="2026-01-02T03:04:06Z").event_id,
        event(created_at=NOW, command_id=5).event_id,
        event(command_id=5).event_id,
        normalize(raw(created_at=NOW) | {"execution_id": 8}).event.event_id,
    ]
    assert len({derived, *others}) == 7
    assert None not in others


def test_a_place_in_a_repeatable_request_gives_an_id() -> None:
    first = normalize(raw(), IdempotentPlace("k", 0)).event.event_id
    assert first == normalize(raw(payload=9), IdempotentPlace("k", 0)).event.event_id
    places = [IdempotentPlace("k", 1), IdempotentPlace("l", 0)]
    assert len({first, *(normalize(raw(), place).event.event_id for place in places)}) == 3


@pytest.mark.parametrize(
    ("text", "naive", "moment"),
    [
        ("2026-01-02T03:04:05Z", False, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05.1234567z", False, datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02 03:04:05.5+05:30", False, datetime(2026, 1, 1, 21, 34, 5, 500000, tzinfo=UTC)),
        ("2026-01-02 03:04:05", True, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.25", True, datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)),
        ("", True, None),
        (None, False, None),
    ],
)
def test_times_are_utc(text: str | None, naive: bool, moment: datetime | None) -> None:  # noqa: FBT001
    assert time_of(text, naive=naive) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05",
        "",
        "now",
        "infinity",
        "2026-01-02",
        "20260102T030405Z",
        "2026-02-30T00:00:00Z",
        "2026-01-02T24:00:01Z",
        "2026-01-02T03:04:60Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-05:00",
        "2026-01-02T03:04:05+25:00",
        "٢٠٢٦-01-02T03:04:05Z",
        1767323045,
        True,
    ],
)
def test_anything_else_is_no_time(text: object) -> None:
    assert code_of(raw(created_at=text)) == "bad_time"


def deep(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("too_large", "x" * VALUE_BYTES),
        ("too_large", [[]] * VALUE_BYTES),
        ("too_large", {str(number): 1 for number in range(200_000)}),
        ("too_deep", deep(VALUE_DEPTH + 1)),
        ("too_deep", deep(255)),
        ("too_deep", deep(5_000)),
        ("bad_text", "a\0"),
        ("bad_text", {"a\0": 1}),
        ("bad_text", "\ud800"),
        ("bad_text", {"\udfff": 1}),
        ("bad_number", float("nan")),
        ("bad_number", [float("inf")]),
        ("bad_number", {"none": None, "text": "g" * 20, "deep": [[1.5, {"x": -float("inf")}]], "more": 2.5}),
        ("bad_number", [255, -1, None, -float("nan")]),
        ("bad_number", [2**64]),
        ("bad_number", {"a": -(2**63) - 1}),
        ("bad_type", {1: 2}),
        ("bad_type", range),
    ],
    ids=reprlib.repr,
)
def test_a_value_that_cannot_be_stored_has_a_code(code: str, value: object) -> None:
    with pytest.raises(Unstorable) as refused:
        check_value(value)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "value",
    [
        deep(VALUE_DEPTH),
        "x" * (VALUE_BYTES - 2),
        "[" * 1_000,
        "\\u0000",
        [None] * 100,
        {"__proto__": {"a": 1}},
        [2**64 - 1, -(2**63), 1e308],
        "ü€😀",
    ],
    ids=reprlib.repr,
)
def test_a_value_at_the_limits_is_storable(value: object) -> None:
    check_value(value)


@for_all(
    st.lists(st.text('\\"[]{}\u00fca'), max_size=20),
    st.sampled_from([0, 1, VALUE_DEPTH - 1, VALUE_DEPTH, VALUE_DEPTH + 1]),
)
def test_the_depth_is_that_of_the_value_whatever_its_texts_hold(texts: list[str], levels: int) -> None:
    value = [*texts, *[[]] * VALUE_DEPTH, deep(levels - 1), {text: text for text in texts}]
    if levels <= VALUE_DEPTH:
        check_value(value)
    else:
        assert code_of_value(value) == "too_deep"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_one_look_at_a_batch_misses_no_endless_number(number: float) -> None:
    nothing_else_holds_it = [{"x": number * 1.0}]
    assert not are_finite(nothing_else_holds_it)
    assert not are_finite([{"x": 1.5}, {"y": [number]}, {"z": number}])


def test_one_look_at_a_batch_trusts_numbers_and_texts_that_look_like_others() -> None:
    assert are_finite(
        [{"text": "g" * 20, "most": 1e308, "none": None}, {"least": -1, "text": "\u7fff\u00e7"}]
    )


def code_of_value(value: object) -> str:
    with pytest.raises(Unstorable) as refused:
        check_value(value)
    return refused.value.code


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("bad_type", []),
        ("bad_type", None),
        ("bad_type", {"execution_id": 7, "event_type": "x"}),
        ("bad_id", {"event_type": "x", "step": ""}),
        ("bad_id", raw(command_id=-1)),
        ("bad_id", raw(lease_token="t")),
        ("bad_number", raw(command_id=2.0**63)),
        ("bad_number", raw(attempt=2**31)),
        ("bad_number", raw(attempt=True)),
        ("bad_type", raw(status="a b")),
        ("bad_type", raw(status=5)),
        ("bad_type", raw(step="x" * 257)),
        ("bad_type", raw(worker_id=5)),
        ("bad_type", raw(result_kind="ref")),
        ("bad_type", raw(result_kind="refs", event_ids=[])),
        ("bad_id", raw(result_kind="refs", event_ids=["x"])),
        ("bad_type", raw(traceparent="x")),
        ("bad_type", raw(actionable=1)),
    ],
)
def test_a_field_of_the_wrong_kind_has_a_code(code: str, fields: object) -> None:
    assert code_of(fields) == code


def test_a_row_is_read_with_its_own_names() -> None:
    row = {"event_id": "5", "execution_id": 7, "event_type": "step.exit", "status": "success"}
    row |= {"node_id": 3, "result": None, "context": [1], "created_at": "2026-01-02T03:04:05", "loop": 4}
    normalized = normalize_row(row)
    assert normalized.execution_id == 7
    read = normalized.event
    assert (read.event_id, read.status, read.step) == (5, "COMPLETED", "3")
    assert read.payload == {"status": "COMPLETED", "data": [1]}
    assert read.meta == {"loop": 4}
    assert read.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_row_with_result_and_context_loses_neither() -> None:
    row = {"event_id": 5, "execution_id": 7, "event_type": "x", "result": 1, "context": {"c": 2}}
    read = normalize_row(row | {"node_name": "n", "node_id": "i", "meta": {"m": 3}, "timestamp": ""}).event
    assert read.payload == {"status": "RUNNING", "data": 1}
    assert (read.step, read.meta) == ("n", {"context": {"c": 2}, "node_id": "i", "m": 3})
