"""Canonical JSON to the definition that the decider reads, with every expression compiled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import orjson
from pydantic import JsonValue, ValidationError

from engine.domain import definition as domain
from engine.domain.expression import Expression
from engine.errors import Invalid
from engine.language import graph, model
from engine.language.canonical import definition_hash
from engine.language.durations import seconds
from engine.language.expressions import compile_expression
from engine.language.scopes import Place, Scopes, scopes_of
from engine.language.templates import compile_template

DEFAULT_POOL = "default"


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
    incoming = graph.incoming(outgoing)
    scopes = scopes_of(playbook, outgoing)
    steps = {
        step.name: _step(step, outgoing[step.name], incoming[step.name], scopes) for step in playbook.steps
    }
    return domain.Definition(
        hash=definition_hash(canonical),
        path=playbook.playbook,
        steps=steps,
        roots=tuple(name for name, sources in incoming.items() if not sources),
        output=None if playbook.output is None else _template(playbook.output, Place.OUTPUT, scopes),
        inputs={name: _plain(spec) for name, spec in (playbook.inputs or {}).items()},
        deadline=domain.DEFAULT_DEADLINE if playbook.deadline is None else seconds(playbook.deadline),
        pool=playbook.pool or DEFAULT_POOL,
        priority=playbook.priority or 0,
    )


def _step(step: model.Step, outgoing: graph.Edges, incoming: tuple[str, ...], scopes: Scopes) -> domain.Step:
    return domain.Step(
        name=step.name,
        tool=step.tool,
        input=None if step.with_ is None else _template(step.with_, Place.INPUT, scopes),
        when=_expression(step.when, Place.GUARD, scopes),
        join=step.join,
        incoming=incoming,
        outgoing=outgoing.all,
        flows=outgoing.flows if outgoing.routed is None else (),
        routes=None if step.next is None else _routes(step, scopes),
        retry=domain.Retry() if step.retry is None else _retry(step.retry, scopes),
        timeout=domain.DEFAULT_TIMEOUT if step.timeout is None else seconds(step.timeout),
        deadline=None if step.deadline is None else seconds(step.deadline),
        wait=None if step.wait is None else _wait(step.wait, scopes),
        pool=step.pool,
        priority=step.priority,
    )


def _routes(step: model.Step, scopes: Scopes) -> tuple[domain.Route, ...]:
    found = []
    for branch in graph.branches(step):
        name = graph.target(branch)
        when = _expression(branch.when, Place.GUARD, scopes)
        found.append(domain.Route(target=None if name == graph.END else name, when=when))
    return tuple(found)


def _retry(retry: model.Retry, scopes: Scopes) -> domain.Retry:
    delay = seconds(retry.delay)
    longest = seconds(retry.max_delay)
    return domain.Retry(
        max_attempts=retry.max_attempts,
        delay=delay,
        backoff=retry.backoff,
        max_delay=max(longest, delay),
        jitter=retry.jitter,
        on=_expression(retry.on, Place.RETRY, scopes),
        on_lost=retry.on_lost,
    )


def _wait(wait: model.Wait, scopes: Scopes) -> domain.Wait:
    return domain.Wait(
        event=wait.event,
        until=_expression(wait.until, Place.MOMENT, scopes),
        duration=None if wait.for_ is None else seconds(wait.for_),
        timeout=None if wait.timeout is None else seconds(wait.timeout),
        on_timeout=wait.on_timeout,
    )


def _expression(source: str | None, place: Place, scopes: Scopes) -> Expression | None:
    return None if source is None else compile_expression(source, scopes.at(place), expected=place.expected)


def _template(value: JsonValue, place: Place, scopes: Scopes) -> domain.Template:
    return compile_template(
        value, partial(compile_expression, scope=scopes.at(place), expected=place.expected)
    )


def _plain(spec: model.Input) -> Mapping[str, object]:
    written: dict[str, object] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return written
