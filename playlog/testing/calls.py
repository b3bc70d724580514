"""Attempts as scripts see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import orjson

from engine.domain.effects import IssueCommand
from engine.domain.execution import Slot
from engine.domain.handles import replaced
from engine.language.deferred_input import Asked, evaluated_at
from playlog.testing.results import Call
from playlog.testing.stream import MemoryStream


def of_command(stream: MemoryStream, command: IssueCommand, at: timedelta) -> Call:
    """What a worker is asked to do, with large values in their places; a secret is `<secret NAME>`.

    Raises `ExpressionFailed` for an expression with a secret that cannot be evaluated.
    """
    slot = stream.state.commands[command.command_id]
    parts = (command.input, command.handles, command.deferred)
    asked = Asked(*(orjson.loads(part or b"[]") for part in parts))
    value = stream.opened(asked.input, asked.handles)
    for place in asked.deferred:
        result = evaluated_at(asked, value, place, "<secret {}>".format)
        value = replaced(value, [(place, result)])
    return _call(stream, slot, value, at)


def of_child(stream: MemoryStream, slot: Slot, start: Mapping[str, object], at: timedelta) -> Call:
    """The start of a child; its input is `{playbook, version, inputs}`."""
    return _call(stream, slot, {key: start[key] for key in ("playbook", "version", "inputs")}, at)


def _call(stream: MemoryStream, slot: Slot, asked: object, at: timedelta) -> Call:
    unit = stream.state.tried(slot)
    return Call(
        step=slot.step,
        input=asked,
        attempt=unit.attempt,
        item=slot.item,
        iteration=unit.iteration or None,
        undoing=slot.undoing,
        at=at,
    )
