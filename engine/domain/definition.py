"""A playbook's definition, compiled: what the decider reads. Built by `engine.language`, never by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.domain.expression import Expression

DEFAULT_TIMEOUT = 3600.0
UNLIMITED = math.inf
"""The `timeout` of a step that starts children and says none: they have their own deadlines."""

DEFAULT_DEADLINE = 30 * 86400.0

Strategy = Literal["queue", "cancel_newest", "cancel_running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A JSON value whose leaves may be expressions, as in `with` and `output`.

    `value` is the JSON tree with `Expression` objects at the places of `${ ... }`; `reads` and `inputs`
    are the union over its expressions; a template without expressions is `constant`.
    """

    value: object
    reads: frozenset[str] = frozenset()
    inputs: bool = False
    constant: bool = True

    def render(self, scope: Mapping[str, object]) -> object:
        """Evaluate every expression in `scope`; raises `ExpressionFailed`."""
        return self.value if self.constant else _render(self.value, scope)


def _render(value: object, scope: Mapping[str, object]) -> object:
    if isinstance(value, Expression):
        return value.run(scope)
    if isinstance(value, dict):
        return {key: _render(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [_render(item, scope) for item in value]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When and how often an attempt is repeated; delays in seconds, `jitter` a share of the delay."""

    max_attempts: int = 1
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.0
    on: Expression | None = None
    on_lost: Literal["retry", "fail"] = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a waiting step waits for: exactly one of `event`, `until`, `duration` (seconds).

    `on_timeout` names a step, or is `skip` or `fail`.
    """

    event: str | None = None
    until: Expression | None = None
    duration: float | None = None
    timeout: float | None = None
    on_timeout: str = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of `next`: the first whose guard holds is taken; `target` None ends the branch."""

    target: str | None
    when: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A step that is done once for each item of a list, at most `max_in_flight` of them at a time.

    Expressions see an item as `variable`; `key` names it uniquely.
    """

    items: Template
    variable: str = "item"
    key: Expression | None = None
    max_in_flight: int = 100
    on_item_error: Literal["fail", "continue"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A step that is done until `until` holds, at most `max` times, with a rest of `delay` seconds."""

    max: int
    until: Expression | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRoute:
    """One entry of `on_error`: the first whose guard holds answers a failure.

    `then` is `skip`, `continue`, `fail` or the name of a step.
    """

    then: str
    when: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many commands with one key may be open at a time, and what becomes of one more.

    The key is one of the playbook's, or with the scope `global` of the whole installation.
    """

    key: Expression
    limit: int
    strategy: Strategy = "queue"
    scope: Literal["playbook", "global"] = "playbook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node of a playbook with its edges resolved.

    `incoming` are the sources of the edges into this step that a join waits for: those from its own cycle
    are not among them. `outgoing` are the targets of all edges out of it; `flows` is the part that goes
    live when it completes without explicit routing. With `routes` the first match decides instead and
    every other outgoing edge goes dead. `cycle` names the steps of the cycle it is on, in source order.
    `compensate` is the call that undoes it, as a step of the same name.
    """

    name: str
    tool: str | None = None
    input: Template | None = None
    when: Expression | None = None
    join: Literal["all", "any"] = "all"
    incoming: tuple[str, ...] = ()
    outgoing: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    routes: tuple[Route, ...] | None = None
    retry: Retry = Retry()
    timeout: float = DEFAULT_TIMEOUT
    deadline: float | None = None
    wait: Wait | None = None
    map: Map | None = None
    repeat: Repeat | None = None
    on_error: tuple[ErrorRoute, ...] = ()
    compensate: Step | None = None
    cycle: tuple[str, ...] = ()
    pool: str | None = None
    priority: int | None = None
    concurrency: Concurrency | None = None
    idempotency_key: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A playbook addressed by the hash of its canonical form; `roots` have no incoming edge.

    Each of its executions has its `labels`, unless the one who starts it gives others of the same names.
    `keyed` says that commands of some step need permits.
    """

    hash: bytes
    path: str
    steps: Mapping[str, Step]
    roots: tuple[str, ...]
    output: Template | None = None
    inputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline: float = DEFAULT_DEADLINE
    pool: str = "default"
    priority: int = 0
    keyed: bool = False

    def deadline_within(self, seconds: object) -> float:
        """Its deadline in seconds, or that of the attempt that starts it as a child where that is nearer."""
        return min(self.deadline, seconds) if isinstance(seconds, int | float) else self.deadline
