"""The keys of a command: under which it needs a permit, and by which whoever serves it knows a repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from engine.domain.decision import Turn
from engine.domain.definition import Step
from engine.domain.effects import PermitWanted
from engine.domain.execution import Slot
from engine.domain.expression import Expression, ExpressionFailed
from engine.domain.scope import scope_of
from engine.domain.vocabulary import SETTLED_STEPS

MOST_BYTES = 200


class Keys(NamedTuple):
    """What a command is issued with; `own` is the idempotency key if the step has an expression for it."""

    permit: PermitWanted | None
    idempotency: str
    own: str | None = None

    @property
    def recorded(self) -> dict[str, object]:
        """What the log keeps of them: those that follow from the rest of it are left out."""
        found: dict[str, object] = {}
        if self.permit is not None:
            found["concurrency"] = {"key": self.permit.key, "limit": self.permit.limit}
        if self.own is not None:
            found["idempotency_key"] = self.own
        return found


def keys_of(turn: Turn, slot: Slot, call: Step, names: Mapping[str, object], round_: int) -> Keys:
    """The keys of the next attempt of a slot, in the given round of a `repeat`.

    The idempotency key is the same for all attempts of a slot, and another one for its next round or visit.
    Raises `ExpressionFailed`, also for a key that is no printable text, int or bool, or too long.
    """
    permit = None
    if call.concurrency is not None:
        key = _key(turn, call.concurrency.key, names, "concurrency.key")
        path = turn.definition.path if call.concurrency.scope == "playbook" else ""
        permit = PermitWanted(f"{path}:{key}", call.concurrency.limit, call.concurrency.strategy)
    if call.idempotency_key is None:
        return Keys(permit, _stable(turn, slot, round_))
    unit = turn.state.tried(slot)
    own = unit.idempotency_key if round_ == unit.iteration else None
    if own is None:
        own = _key(turn, call.idempotency_key, names, "idempotency_key")
    return Keys(permit, own, own)


def _stable(turn: Turn, slot: Slot, round_: int) -> str:
    step = turn.state.steps.get(slot.step)
    visit = 0 if step is None else step.visits
    if step is not None and slot.undoing and step.done:
        visit = step.done[-1].visit
    is_next_visit = step is not None and not slot.undoing and step.status in SETTLED_STEPS
    return f"{turn.state.execution_id}/{slot}/{visit + is_next_visit}/{round_}"


def _key(turn: Turn, expression: Expression, names: Mapping[str, object], what: str) -> str:
    value = expression.run(scope_of(turn.state, turn.supply, expression, names))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ExpressionFailed("type_mismatch", f"{what}: printable text, an int or a bool is needed")
    if len(value.encode()) > MOST_BYTES:
        raise ExpressionFailed("value_too_large", f"{what}: at most {MOST_BYTES} bytes are allowed")
    return value
