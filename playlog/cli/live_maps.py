"""Maps as they go: one line a second for all the items of a step, however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.text import Text

from engine.domain.vocabulary import EventType
from playlog.answers import Event, Items
from playlog.cli.live import STEP_WIDTH, TYPE_WIDTH, clock
from playlog.cli.tables import items_text

SECONDS = 1.0
BEGUN = frozenset({EventType.COMMAND_ISSUED, EventType.CHILD_STARTED})


@dataclass(slots=True)
class _Going:
    """A map that is open: how its items stand, and when that was last said."""

    total: int
    said: float
    moment: str = ""
    completed: int = 0
    failed: int = 0
    begun: int = 0
    open: set[int] = field(default_factory=set)

    def add(self, item: int, event: Event) -> None:
        kind = event["event_type"]
        self.moment = event["recorded_at"]
        if kind in BEGUN:
            self.begun = max(self.begun, item + 1)
            self.open.add(item)
        elif kind == EventType.COMMAND_COMPLETED or _has_completed_child(event):
            self.open.discard(item)
            self.completed += 1
        elif kind == EventType.STEP_FAILED:
            self.open.discard(item)
            self.failed += 1

    @property
    def items(self) -> Items:
        return {
            "total": self.total,
            "completed": self.completed,
            "failed": self.failed,
            "open": len(self.open),
            "left": self.total - self.begun,
        }


class MapCounts:
    """Counts the items of maps from the events that name them, in the order of the log."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._going: dict[str, _Going] = {}

    def take(self, event: Event) -> bool:
        """Count an event of an item; returns False for any other, which is to be shown by itself."""
        step, payload, item = event["step"] or "", event["payload"], event["item"]
        if event["event_type"] == EventType.MAP_OPENED and isinstance(payload, dict):
            self._going[step] = _Going(int(str(payload["count"])), self._now())
        elif item is None and event["event_type"] in {EventType.MAP_CLOSED, EventType.STEP_FAILED}:
            self._going.pop(step, None)
        if item is None:
            return False
        if step in self._going:
            self._going[step].add(item, event)
        return True

    def lines(self) -> list[Text]:
        """How each open map stands of which something has changed, at most once a second."""
        lines = []
        for step, going in self._going.items():
            if going.moment and self._now() - going.said >= SECONDS:
                lines.append(_line(step, going))
                going.said, going.moment = self._now(), ""
        return lines


def _has_completed_child(event: Event) -> bool:
    payload = event["payload"]
    if event["event_type"] != EventType.CHILD_COMPLETED or not isinstance(payload, dict):
        return False
    return payload.get("status") == "completed"


def _line(step: str, going: _Going) -> Text:
    text = Text(f"{clock(going.moment)}  ", style="dim")
    text.append(f"{'map':<{TYPE_WIDTH}}", style="default not dim")
    text.append(f"{step:<{STEP_WIDTH}} ", style="bold not dim")
    return text.append(items_text(going.items), style="default not dim")
