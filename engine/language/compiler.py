"""Canonical JSON to the definition that the decider reads, with every expression compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import orjson
from pydantic import JsonValue, ValidationError

from engine.domain import definition as domain
from engine.domain.attempts import CHILD_TOOL
from engine.domain.expression import Expression
from engine.errors import Invalid
from engine.language import graph, model
from engine.language.canonical import definition_hash
from engine.language.deferring import compile_leaf
from engine.language.durations import seconds
from engine.language.expressions import Scope, compile_expression
from engine.language.scopes import Place, Scopes, input_place, scopes_of
from engine.language.templates import compile_template

DEFAULT_POOL = "default"
UNDO_DEADLINE = 3600.0
UNDO_RETRY = domain.Retry(max_attempts=5)


def compile_definition(canonical: bytes) -> domain.Definition:
    """Compile the canonical JSON of a playbook that was checked when it was registered.

    Raises `Invalid` when the bytes are no canonical playbook of this build of the language.
    """
    try:
        playbook = model.Playbook.model_validate(orjson.loads(canonical))
    except (ValidationError, orjson.JSONDecodeError) as error:
        detail = "the stored definition is not a playbook that this build can read"
        raise Invalid(detail, code="invalid_definition") from error
    outgoing = graph.edges(playbook.steps)
    incoming, cycles = graph.joined(outgoing), graph.cycles(outgoing)
    scopes = scopes_of(playbook, outgoing)
    steps = {
        step.name: replace(
            _Compiler(step, scopes).step(),
            incoming=incoming[step.name],
            outgoing=outgoing[step.name].all,
            flows=outgoing[step.name].flows if outgoing[step.name].routed is None else (),
            cycle=cycles.get(step.name, ()),
        )
        for step in playbook.steps
    }
    return domain.Definition(
        hash=definition_hash(canonical),
        path=playbook.playbook,
        steps=steps,
        roots=graph.roots(outgoing),
        output=None if playbook.output is None else _template(playbook.output, scopes.at(Place.OUTPUT)),
        inputs={name: _plain(spec) for name, spec in (playbook.inputs or {}).items()},
        labels=playbook.labels or {},
        deadline=domain.DEFAULT_DEADLINE if playbook.deadline is None else seconds(playbook.deadline),
        pool=playbook.pool or DEFAULT_POOL,
        priority=playbook.priority or 0,
        keyed=any(step.concurrency is not None for step in playbook.steps),
    )


class _Compiler:
    """Compiles one step, apart from its edges."""

    def __init__(self, step: model.Step, scopes: Scopes) -> None:
        self._step = step
        self._scopes = scopes

    def step(self) -> domain.Step:
        step = self._step
        return domain.Step(
            name=step.name,
            tool=step.tool,
            input=None if step.with_ is None else self._template(step.with_, input_place(step.tool)),
            when=self._expression(step.when, Place.GUARD),
            join=step.join,
            routes=None if step.next is None else self._routes(),
            retry=domain.Retry() if step.retry is None else self._retry(step.retry),
            timeout=_timeout(step),
            deadline=None if step.deadline is None else seconds(step.deadline),
            wait=None if step.wait is None else self._wait(step.wait),
            map=None if step.map is None else self._map(step.map),
            repeat=None if step.repeat is None else self._repeat(step.repeat),
            on_error=tuple(self._answer(answer) for answer in step.on_error or ()),
            compensate=None if step.compensate is None else self._compensate(step.compensate),
            pool=step.pool,
            priority=step.priority,
            concurrency=None if step.concurrency is None else self._concurrency(step.concurrency),
            idempotency_key=self._expression(step.idempotency_key, Place.QUEUED),
        )

    def _routes(self) -> tuple[domain.Route, ...]:
        found = []
        for branch in graph.branches(self._step):
            name = graph.target(branch)
            when = self._expression(branch.when, Place.GUARD)
            found.append(domain.Route(target=None if name == graph.END else name, when=when))
        return tuple(found)

    def _retry(self, retry: model.Retry) -> domain.Retry:
        delay = seconds(retry.delay)
        return domain.Retry(
            max_attempts=retry.max_attempts,
            delay=delay,
            backoff=retry.backoff,
            max_delay=max(seconds(retry.max_delay), delay),
            jitter=retry.jitter,
            on=self._expression(retry.on, Place.RETRY),
            on_lost=retry.on_lost,
        )

    def _wait(self, wait: model.Wait) -> domain.Wait:
        return domain.Wait(
            event=wait.event,
            until=self._expression(wait.until, Place.MOMENT),
            duration=None if wait.for_ is None else seconds(wait.for_),
            timeout=None if wait.timeout is None else seconds(wait.timeout),
            on_timeout=wait.on_timeout,
        )

    def _map(self, wanted: model.Map) -> domain.Map:
        return domain.Map(
            items=self._template(wanted.items, Place.OUTPUT),
            variable=wanted.as_,
            key=self._expression(wanted.key, Place.KEY),
            max_in_flight=wanted.max_in_flight,
            on_item_error=wanted.on_item_error,
        )

    def _concurrency(self, wanted: model.Concurrency) -> domain.Concurrency:
        return domain.Concurrency(
            key=compile_expression(wanted.key, self._scopes.at(Place.QUEUED, self._step)),
            limit=wanted.limit,
            strategy=wanted.strategy,
            scope=wanted.scope,
        )

    def _repeat(self, repeat: model.Repeat) -> domain.Repeat:
        until = self._expression(repeat.until, Place.UNTIL)
        return domain.Repeat(max=repeat.max, until=until, delay=seconds(repeat.delay))

    def _answer(self, answer: model.OnError) -> domain.ErrorRoute:
        return domain.ErrorRoute(then=answer.then, when=self._expression(answer.when, Place.FAILURE))

    def _compensate(self, call: model.Compensate) -> domain.Step:
        plain = model.Step(name=self._step.name)
        within = _Compiler(plain, self._scopes)
        return domain.Step(
            name=self._step.name,
            tool=call.tool,
            input=None if call.with_ is None else within._template(call.with_, input_place(call.tool)),
            retry=UNDO_RETRY if call.retry is None else within._retry(call.retry),
            timeout=UNDO_DEADLINE if call.timeout is None else seconds(call.timeout),
            deadline=UNDO_DEADLINE,
            pool=call.pool,
            priority=call.priority,
        )

    def _expression(self, source: str | None, place: Place) -> Expression | None:
        if source is None:
            return None
        return compile_expression(source, self._scopes.at(place, self._step), expected=place.expected)

    def _template(self, value: JsonValue, place: Place) -> domain.Template:
        return _template(value, self._scopes.at(place, self._step))


def _template(value: JsonValue, scope: Scope) -> domain.Template:
    return compile_template(value, partial(compile_leaf, scope=scope))


def _plain(spec: model.Input) -> Mapping[str, object]:
    written: dict[str, object] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return written


def _timeout(step: model.Step) -> float:
    if step.timeout is not None:
        return seconds(step.timeout)
    return domain.UNLIMITED if step.tool == CHILD_TOOL else domain.DEFAULT_TIMEOUT
