"""Events as they happen, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from engine.domain.carried import carried_value
from engine.domain.events import parse_iso
from engine.domain.vocabulary import EventType
from playlog.answers import Event
from playlog.cli.tables import local_time

TYPE_WIDTH = 23
STEP_WIDTH = 9
DETAIL_LENGTH = 200
GOOD = frozenset({EventType.STEP_COMPLETED, EventType.EXECUTION_COMPLETED, EventType.COMPENSATION_COMPLETED})
BAD = frozenset(
    {
        EventType.COMMAND_FAILED,
        EventType.COMMAND_EXPIRED,
        EventType.COMMAND_CANCELLED,
        EventType.CONCURRENCY_REJECTED,
        EventType.STEP_FAILED,
        EventType.EXECUTION_FAILED,
        EventType.EXECUTION_TIMED_OUT,
        EventType.WAIT_TIMED_OUT,
        EventType.COMPENSATION_FAILED,
    }
)
WAITING = frozenset({EventType.WAIT_OPENED, EventType.SIGNAL_RECEIVED, EventType.WAIT_SATISFIED})
MINOR = frozenset(
    {
        EventType.COMMAND_ISSUED,
        EventType.COMMAND_CLAIMED,
        EventType.COMMAND_COMPLETED,
        EventType.WAIT_SATISFIED,
        EventType.TIMER_SET,
        EventType.TIMER_FIRED,
    }
)
"""Events that one of the others tells as well, for those who only watch the steps."""


def print_event(console: Console, event: Event, *, numbered: bool = False) -> None:
    """Print an event as one line, cut to the width; `numbered` puts its version in front."""
    number = f"{event['version']:>6}  " if numbered else ""
    line = Text(number, style="dim").append_text(render_event(event))
    console.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def render_event(event: Event) -> Text:
    """Return `time  type  step  detail`."""
    text = Text(style="default not dim")
    text.append(f"{clock(event['recorded_at'])}  ", style="dim")
    kind = event["event_type"]
    text.append(f"{kind:<{TYPE_WIDTH}}", style=_style(kind))
    text.append(f"{_place(event):<{STEP_WIDTH}} ", style="bold")
    return text.append(detail(event), style="dim" if kind in MINOR else "")


def _place(event: Event) -> str:
    """The step, and of its map the item: `price[17]`."""
    step = event["step"] or ""
    return step if event["item"] is None else f"{step}[{event['item']}]"


def clock(moment: str) -> str:
    """The local time of day to the millisecond."""
    return parse_iso(moment).astimezone().strftime("%H:%M:%S.%f")[:-3]


def detail(event: Event) -> str:
    """What there is to say of an event, in a few words."""
    payload = event["payload"] if isinstance(event["payload"], dict) else {}
    words = _DETAILS.get(event["event_type"])
    parts = [_attempt(event, payload), words(payload) if words else _carried(event)]
    return ": ".join(part for part in parts if part)[:DETAIL_LENGTH]


def _style(kind: str) -> str:
    if kind in GOOD:
        return "green"
    if kind in BAD:
        return "red"
    return "yellow" if kind in WAITING else ""


def _attempt(event: Event, payload: Mapping[str, JsonValue]) -> str:
    attempt, round_ = event["attempt"], payload.get("iteration")
    if not event["event_type"].startswith("command.") or attempt is None:
        return ""
    return f"attempt {attempt}" if round_ is None else f"attempt {attempt}, round {round_}"


def _carried(event: Event) -> str:
    value = carried_value(event["event_type"], event["payload"])
    if isinstance(value, dict) and "code" in value and "message" in value:
        status = "" if value.get("status") is None else f" {value['status']}"
        return f"{value['code']}{status}: {value['message']}"
    return "" if value is None else orjson.dumps(value).decode()


def _signal(payload: Mapping[str, JsonValue]) -> str:
    name, data = str(payload.get("name", "")), payload.get("data")
    return name if data is None else f"{name} {orjson.dumps(data).decode()}"


def _wait(payload: Mapping[str, JsonValue]) -> str:
    what = f"waits for the signal {payload['event']}" if "event" in payload else "waits"
    until = payload.get("until")
    return f"{what} until {local_time(str(until))}" if until else what


def _closed(payload: Mapping[str, JsonValue]) -> str:
    failed = f", {payload['failed']} failed" if payload.get("failed") else ""
    return f"{payload.get('completed')} items completed{failed}"


_DETAILS: dict[str, Callable[[Mapping[str, JsonValue]], str]] = {
    EventType.COMMAND_ISSUED: lambda _: "",
    EventType.WAIT_OPENED: _wait,
    EventType.MAP_OPENED: lambda payload: f"{payload.get('count')} items",
    EventType.MAP_CLOSED: _closed,
    EventType.WAIT_SATISFIED: lambda _: "",
    EventType.SIGNAL_RECEIVED: _signal,
    EventType.STEP_SKIPPED: lambda payload: str(payload.get("reason", "")),
    EventType.EXECUTION_CANCELLED: lambda payload: str(payload.get("reason") or ""),
}
