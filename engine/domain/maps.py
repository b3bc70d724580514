"""Maps: one step done for each item of a list, so many at a time, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence

from engine.domain.attempts import begin_attempt, begin_deadline
from engine.domain.decision import Decision, Turn, decided, error, expression_error
from engine.domain.definition import Map, Step
from engine.domain.execution import MapState, Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up
from engine.domain.handles import opened, sortable, written
from engine.domain.scope import scope_of
from engine.domain.vocabulary import EventType

MOST_ITEMS = 10_000
MOST_BYTES = 256 * 1024
ITEMS_A_DECISION = 100


def open_map(turn: Turn, step: Step, wanted: Map) -> Decision:
    """Evaluate the items, once; what is no list, too long, too large or not unique fails the step."""
    try:
        items = _items(turn, step, wanted)
        problem = _fault(turn, step, wanted, items)
    except ExpressionFailed as failed:
        return give_up(turn, Slot(step.name), expression_error(failed))
    if problem is not None:
        return give_up(turn, Slot(step.name), problem)
    payload: dict[str, object] = {"count": len(items), "items": items}
    decision = Decision()
    begin_deadline(turn, Slot(step.name), payload, decision)
    decision.events.append(decided(EventType.MAP_OPENED, step.name, payload))
    return decision


def _items(turn: Turn, step: Step, wanted: Map) -> list[object]:
    items = opened(wanted.items.render(scope_of(turn.state, turn.supply, wanted.items)))
    if not isinstance(items, list):
        raise ExpressionFailed("type_mismatch", f"{step.name}.map.items: a list is needed")
    return items


def _fault(turn: Turn, step: Step, wanted: Map, items: Sequence[object]) -> dict[str, object] | None:
    if len(items) > MOST_ITEMS:
        return error(
            "too_many_items", f"{step.name} has {len(items)} items, at most {MOST_ITEMS} are allowed"
        )
    size = len(written(items).encoded)
    if size > MOST_BYTES:
        return error("value_too_large", f"the items of {step.name} have {size} bytes, at most {MOST_BYTES}")
    first: dict[object, int] = {}
    for index, item in enumerate(items if wanted.key is not None else ()):
        key = _key(turn, wanted, item, index)
        if first.setdefault(key, index) != index:
            return error(
                "duplicate_key", f"the items {first[key]} and {index} of {step.name} have the same key"
            )
    return None


def _key(turn: Turn, wanted: Map, item: object, index: int) -> bytes:
    if wanted.key is None:
        raise LookupError("the map has no key")
    names = {wanted.variable: item, "item_index": index}
    return sortable(wanted.key.run(scope_of(turn.state, turn.supply, wanted.key, names)))


def on_map(turn: Turn, name: str) -> Decision:
    """Begin as many items as may be tried at a time; after the last one the map is closed, once."""
    step, state = turn.step(name), turn.state.step(name)
    found = state.map
    if step.map is None or found is None:
        raise LookupError(f"the step {name} has no map")
    if state.output is not None:
        return Decision()
    if found.next == found.total and not found.open:
        return _close(name, found)
    begun = range(found.next, min(found.total, found.next + step.map.max_in_flight - len(found.open)))
    return _begin(turn, name, begun)


def _begin(turn: Turn, name: str, begun: range) -> Decision:
    """Begin these items, or only the first of them where they are many or need much fuel."""
    first = begun[:ITEMS_A_DECISION]
    turn.supply.reserve(len(first))
    decision = Decision()
    for item in first:
        decision += begin_attempt(turn, Slot(name, item))
        if _has_failed(decision):
            decision.is_part = False
            break
        decision.is_part = item < begun[-1]
        if turn.supply.budget.is_half_used:
            break
    return decision


def _has_failed(decision: Decision) -> bool:
    """Whether the whole step is given up, so that no further item begins."""
    last = decision.events[-1]
    return last.item is None


def _close(name: str, found: MapState) -> Decision:
    payload = {"completed": found.successes, "failed": found.failures}
    return Decision([decided(EventType.MAP_CLOSED, name, payload)])
