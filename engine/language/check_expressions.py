"""Every expression of a playbook: written rightly, of the right type, reading only what is known there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine.language import graph
from engine.language.document import Mark
from engine.language.expressions import ExpressionFault, analyse_expression
from engine.language.faults import Path
from engine.language.model import Compensate, Playbook, Retry, Step
from engine.language.report import Report
from engine.language.scopes import Place, Scopes, input_place
from engine.language.templates import expression_in, texts

_FIXED = frozenset({"code", "query", "command"})
_INSTEAD = {"code": "args", "query": "params", "command": "env"}
_INSIDE = "build the text in the expression: \"${ 'a' + string(inputs.b) }\""

Readable = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Here:
    """The step that an expression belongs to, and the steps it may read; None while that is not known."""

    step: Step | None
    readable: frozenset[str] | None


@dataclass(slots=True, kw_only=True)
class ExpressionCheck:
    """Finds the faults of every expression of a playbook.

    `before` are the steps that can have run before each step, or None while the edges are not known.
    """

    report: Report
    scopes: Scopes
    before: Readable | None

    def playbook(self, playbook: Playbook) -> None:
        """Check the expressions of all steps and of the output."""
        for index, step in enumerate(playbook.steps):
            self._step(("steps", index), step)
        self._template(("output",), playbook.output, Place.OUTPUT, _Here(None, None))

    def _step(self, path: Path, step: Step) -> None:
        readable = None if self.before is None else self.before[step.name]
        here = _Here(step, readable)
        own = _Here(step, None if readable is None else readable | {step.name})
        self._bare((*path, "when"), step.when, Place.GUARD, here)
        self._template((*path, "with"), step.with_, input_place(step.tool), here)
        self._fixed((*path, "with"), step.with_ or {})
        self._retry((*path, "retry"), step.retry, here)
        if step.wait is not None:
            self._bare((*path, "wait", "until"), step.wait.until, Place.MOMENT, here)
        if step.map is not None:
            self._template((*path, "map", "items"), step.map.items, Place.OUTPUT, here)
            self._bare((*path, "map", "key"), step.map.key, Place.KEY, here)
        if step.repeat is not None:
            self._bare((*path, "repeat", "until"), step.repeat.until, Place.UNTIL, here)
        for number, answer in enumerate(step.on_error or ()):
            self._bare((*path, "on_error", number, "when"), answer.when, Place.FAILURE, here)
        for number, branch in enumerate(graph.branches(step)):
            self._bare((*path, "next", number, "when"), branch.when, Place.GUARD, own)
        if step.compensate is not None:
            self._compensate((*path, "compensate"), step.compensate, _Here(None, own.readable))

    def _compensate(self, path: Path, call: Compensate, here: _Here) -> None:
        self._template((*path, "with"), call.with_, input_place(call.tool), here)
        self._fixed((*path, "with"), call.with_ or {})
        self._retry((*path, "retry"), call.retry, here)

    def _retry(self, path: Path, retry: Retry | None, here: _Here) -> None:
        if retry is not None:
            self._bare((*path, "on"), retry.on, Place.RETRY, here)

    def _fixed(self, path: Path, given: Mapping[str, JsonValue]) -> None:
        """Refuse values in what is run as a program: they reach it beside it, never inside it."""
        for key in _FIXED.intersection(given):
            text = given[key]
            if isinstance(text, str) and text.lstrip().startswith("${"):
                hint = f"pass values through `{_INSTEAD[key]}`"
                self.report.add((*path, key), f"`{key}` is fixed text, not an expression", hint)

    def _template(self, path: Path, value: JsonValue, place: Place, here: _Here) -> None:
        for found, text in texts(value, path):
            try:
                inner = expression_in(text)
            except ValueError as error:
                hint = "close it" if "closing" in str(error) else _INSIDE
                start = _mark_of(text, text.index("${"))
                self.report.add_inside(found, start, str(error), hint)
                continue
            if inner is not None:
                self._compile(found, inner, _mark_of(text, inner[1]), place, here)

    def _bare(self, path: Path, source: str | None, place: Place, here: _Here) -> None:
        if source is None:
            return
        if source.lstrip().startswith("${"):
            self.report.add(path, f"`{path[-1]}` is an expression by itself", "write it without `${` and `}`")
            return
        self._compile(path, (source, 0), Mark(1, 1), place, here)

    def _compile(self, path: Path, inner: tuple[str, int], start: Mark, place: Place, here: _Here) -> None:
        source = inner[0]
        if self.report.full:
            return
        try:
            analysis = analyse_expression(source, self.scopes.at(place, here.step), expected=place.expected)
        except ExpressionFault as error:
            for fault in error.faults:
                mark = _shifted(start, Mark(fault.line, fault.column))
                self.report.add_inside(path, mark, fault.message, fault.hint)
            return
        for name in sorted(analysis.reads - here.readable) if here.readable is not None else ():
            used = re.search(rf"\bsteps\s*\.\s*{name}\b", source)
            mark = _shifted(start, _mark_of(source, used.start() if used else 0))
            message = f'the step "{name}" cannot have run before this'
            self.report.add_inside(path, mark, message, "only steps that lead here can be read")


def _mark_of(text: str, offset: int) -> Mark:
    before = text[:offset]
    return Mark(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def _shifted(start: Mark, place: Mark) -> Mark:
    if place.line == 1:
        return Mark(start.line, start.column + place.column - 1)
    return Mark(start.line + place.line - 1, place.column)
